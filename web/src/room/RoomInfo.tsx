import { useRef, useState } from 'react';
import { useCoterie } from 'coterie/react';
import type { Chat, Member, Profile } from 'coterie';
import { fieldErrors } from '../app/errors.js';
import { uploadAvatar } from '../app/avatars.js';
import { useChatName, useMe, usePerson } from '../app/people.js';
import { go, hrefs } from '../app/router.js';
import { duration } from '../app/time.js';
import { setMembership } from '../chats/ChatList.js';
import { Picker } from '../people/Picker.js';
import { showProfile } from '../people/profile.js';
import { t } from '../strings.js';
import { PersonAvatar, RoomAvatar } from '../ui/Avatar.js';
import { Button, IconButton } from '../ui/Button.js';
import { Dialog } from '../ui/Dialog.js';
import { Field, Select, Switch } from '../ui/Field.js';
import { Menu } from '../ui/Menu.js';
import { ask, attempt, show, tell } from '../ui/overlays.js';
import { FormError, useForm } from '../ui/parts.js';

const ranks = { owner: 0, moderator: 1, member: 2 };

/** What there is to know and to decide about a room. */
export function RoomInfo({ chat, members, own }: { chat: Chat; members: Member[]; own: Member | undefined }) {
  const { chatId: roomId, room, peer, membership } = chat;
  const c = useCoterie();
  const me = useMe();
  const isOwner = own?.role === 'owner';
  const isModerator = isOwner || own?.role === 'moderator';
  const kind = room.kind;
  const maySet = kind === 'channel' ? me.role !== 'user' : kind !== 'direct' && isModerator;
  const mayDelete = kind === 'channel' ? me.role === 'admin' : kind !== 'direct' && isOwner;
  const name = useChatName(chat);
  const set = (body: Partial<Chat['membership']>) => setMembership(c, roomId, body);
  const leave = async () => {
    if (!(await ask(t.info.leaveAsk(name), t.info.leave, t.info.leaveHint[kind]))) return;
    if (await attempt(() => c.api('post', '/api/rooms/{roomId}/leave', { path: { roomId } }))) go(hrefs.chats);
  };
  const remove = async () => {
    if (!(await ask(t.info.deleteAsk(name), t.info.delete, t.info.deleteHint))) return;
    const act = () => (kind === 'channel' ? c.api('delete', '/api/chat/{roomId}', { path: { roomId } }) : c.api('delete', '/api/rooms/{roomId}', { path: { roomId } }));
    if (await attempt(act)) go(hrefs.chats);
  };
  const copyLink = () =>
    navigator.clipboard.writeText(new URL(kind === 'prime' ? hrefs.join(roomId) : hrefs.room(roomId), location.href).href)
      .then(() => tell(t.room.copied), () => tell(t.room.copyFailed, true));
  const sorted = [...members].sort((a, b) => ranks[a.role] - ranks[b.role] || a.name.localeCompare(b.name));
  return (
    <aside className="info" aria-label={t.info.title}>
      <header>
        <h2>{t.info.title}</h2>
        <IconButton icon="close" label={t.close} onClick={() => go(hrefs.room(roomId))} />
      </header>
      <div className="info-head">
        {peer ? <PersonAvatar userId={peer.userId} name={peer.name} size={96} /> : <RoomAvatar room={room} size={96} />}
        <h3>{name}</h3>
        <p className="hint">{t.chats.kinds[kind]}{kind === 'prime' ? ` · ${t.info.number(roomId)} · ${t.info.seats(room.memberCount, room.capacity)}` : ''}</p>
        {room.topic && <p>{room.topic}</p>}
        {room.slowModeSeconds > 0 && <p className="hint">{t.composer.slow(duration(room.slowModeSeconds))}</p>}
        {(kind === 'prime' || kind === 'channel') && <Button icon="link" kind="quiet" onClick={() => void copyLink()}>{t.info.copyRoomLink}</Button>}
      </div>
      <section>
        <h3>{t.info.mine}</h3>
        <Select
          label={t.info.notifications}
          value={membership.notifications}
          options={Object.entries(t.info.notificationKinds) as [Chat['membership']['notifications'], string][]}
          onChange={notifications => void set({ notifications })}
        />
        <Switch label={t.info.favorite} on={membership.favorite} onChange={favorite => void set({ favorite })} />
        <Switch label={t.info.archived} on={membership.archived} onChange={archived => void set({ archived })} />
        <Button kind="quiet" icon="chats" onClick={() => void set({ markedUnread: true }).then(done => done && go(hrefs.chats))}>{t.info.markUnread}</Button>
      </section>
      {maySet && <RoomSettings chat={chat} />}
      {kind !== 'direct' && (
        <section>
          <h3>{t.info.members} <span className="hint">{room.memberCount}</span></h3>
          {kind === 'group' && isModerator && <Button kind="quiet" icon="new" onClick={() => show(close => <AddPeople chat={chat} members={members} close={close} />)}>{t.info.add}</Button>}
          {kind === 'prime' && room.createdBy === me.userId && <Button kind="quiet" icon="new" onClick={() => show(close => <Invite chat={chat} members={members} close={close} />)}>{t.info.invite}</Button>}
          <ul className="members">
            {sorted.map(member => <MemberRow key={member.userId} chat={chat} member={member} isOwner={isOwner} isModerator={isModerator} />)}
          </ul>
        </section>
      )}
      {kind !== 'direct' && (
        <section className="info-actions">
          <Button kind="quiet" icon="exit" onClick={() => void leave()}>{t.info.leave}</Button>
          {mayDelete && <Button kind="danger" icon="trash" onClick={() => void remove()}>{t.info.delete}</Button>}
        </section>
      )}
    </aside>
  );
}

function MemberRow({ chat: { room, chatId: roomId }, member, isOwner, isModerator }: { chat: Chat; member: Member; isOwner: boolean; isModerator: boolean }) {
  const c = useCoterie();
  const me = useMe();
  const person = usePerson(member.userId, member.name);
  const { userId, name, role, online } = member;
  const isMe = userId === me.userId;
  const path = { roomId, userId };
  const reload = () => c.room(roomId).loadMembers();
  const appoint = (to: 'moderator' | 'member') => attempt(async () => {
    await c.api('patch', '/api/rooms/{roomId}/members/{userId}', { path, body: { role: to } });
    await reload();
  });
  const pass = async () => {
    if (!(await ask(t.info.passAsk(name), t.info.passOwnership, t.info.passHint))) return;
    await attempt(async () => {
      await c.api('post', '/api/rooms/{roomId}/owner', { path: { roomId }, body: { userId } });
      await reload();
    });
  };
  const remove = async () => {
    if (await ask(t.info.removeAsk(name), t.info.removeMember, t.info.removeHint)) {
      await attempt(() => c.api('delete', '/api/rooms/{roomId}/members/{userId}', { path }));
    }
  };
  const mayRemove = !isMe && (isOwner || (isModerator && role === 'member') || (room.kind === 'channel' && me.role === 'admin'));
  const items = [
    { label: t.people.profile, icon: 'user' as const, act: () => showProfile(userId) },
    isOwner && !isMe && (role === 'moderator' ? { label: t.info.makeMember, act: () => void appoint('member') } : { label: t.info.makeModerator, icon: 'star' as const, act: () => void appoint('moderator') }),
    isOwner && !isMe && { label: t.info.passOwnership, icon: 'crown' as const, act: () => void pass() },
    mayRemove && { label: t.info.removeMember, icon: 'exit' as const, danger: true, act: () => void remove() },
  ];
  return (
    <li>
      <PersonAvatar userId={userId} name={name} size={36} />
      <span className="option-text">
        <span>{person.name}{isMe && <span className="hint"> ({t.you})</span>}</span>
        <span className="hint">{role === 'member' ? (online ? t.room.online : '') : t.info.roles[role]}</span>
      </span>
      <Menu label={t.info.memberActions(name)} items={items} />
    </li>
  );
}

function RoomSettings({ chat: { room, chatId: roomId } }: { chat: Chat }) {
  const c = useCoterie();
  const input = useRef<HTMLInputElement>(null);
  const change = (file: File | undefined) => file && attempt(() => uploadAvatar(c, `/api/rooms/${roomId}/avatar`, file));
  return (
    <section>
      <h3>{t.info.settings}</h3>
      <Button kind="quiet" icon="edit" onClick={() => show(close => <EditRoom room={room} close={close} />)}>{t.info.edit}</Button>
      <Button kind="quiet" icon="image" onClick={() => input.current!.click()}>{t.info.changeAvatar}</Button>
      <input ref={input} type="file" accept="image/png,image/jpeg,image/webp" hidden aria-label={t.info.changeAvatar} onChange={event => void change(event.currentTarget.files?.[0])} />
      {room.avatarUrl && <Button kind="quiet" icon="trash" onClick={() => void attempt(() => c.api('delete', '/api/rooms/{roomId}/avatar', { path: { roomId } }))}>{t.info.removeAvatar}</Button>}
    </section>
  );
}

function EditRoom({ room, close }: { room: Chat['room']; close: () => void }) {
  const c = useCoterie();
  const [name, setName] = useState(room.name);
  const [topic, setTopic] = useState(room.topic ?? '');
  const [slow, setSlow] = useState(room.slowModeSeconds);
  const { busy, failure, onSubmit } = useForm(async () => {
    await c.api('patch', '/api/rooms/{roomId}', { path: { roomId: room.id }, body: { name, topic: topic.trim(), slowModeSeconds: slow } });
    close();
  });
  const errors = fieldErrors(failure);
  const known = t.info.slowModes.some(([seconds]) => seconds === room.slowModeSeconds);
  const options: [number, string][] = known ? t.info.slowModes : [...t.info.slowModes, [room.slowModeSeconds, t.info.slowModeOther(duration(room.slowModeSeconds))]];
  return (
    <Dialog title={t.info.settings} onClose={close} className="small">
      <form onSubmit={onSubmit}>
        <Field label={t.info.name} value={name} onChange={setName} required maxLength={100} autoComplete="off" error={errors['name']} />
        <Field label={t.info.topicField} value={topic} onChange={setTopic} required={false} maxLength={250} autoComplete="off" error={errors['topic']} />
        <Select label={t.info.slowMode} hint={t.info.slowModeHint} value={slow} options={options} onChange={setSlow} />
        <FormError failure={failure} fields={['name', 'topic']} />
        <div className="dialog-actions"><Button kind="primary" type="submit" busy={busy}>{t.save}</Button></div>
      </form>
    </Dialog>
  );
}

interface AddProps {
  chat: Chat;
  members: Member[];
  close: () => void;
}

function AddPeople({ chat: { chatId: groupId }, members, close }: AddProps) {
  const c = useCoterie();
  const [chosen, setChosen] = useState<Profile[]>([]);
  const { busy, failure, onSubmit } = useForm(async () => {
    for (const person of chosen) {
      await c.api('post', '/groups/{groupId}/add-user', { path: { groupId }, body: { userId: person.userId } });
      setChosen(left => left.filter(({ userId }) => userId !== person.userId));
      tell(t.info.added(person.name));
    }
    close();
  });
  return (
    <Dialog title={t.info.add} onClose={close}>
      <form onSubmit={onSubmit}>
        <Picker chosen={chosen} onChange={setChosen} autoFocus without={members.map(({ userId }) => userId)} />
        <FormError failure={failure} />
        <div className="dialog-actions"><Button kind="primary" type="submit" busy={busy} disabled={!chosen.length}>{t.info.add}</Button></div>
      </form>
    </Dialog>
  );
}

function Invite({ chat: { chatId: roomId }, members, close }: AddProps) {
  const c = useCoterie();
  const [chosen, setChosen] = useState<Profile[]>([]);
  const [password, setPassword] = useState('');
  const { busy, failure, onSubmit } = useForm(async () => {
    const [person] = chosen;
    if (!person) return;
    await c.api('post', '/api/invite', { body: { roomId, password, userId: person.userId } });
    tell(t.info.invited(person.name));
    close();
  });
  const errors = fieldErrors(failure);
  return (
    <Dialog title={t.info.invite} onClose={close}>
      <form onSubmit={onSubmit}>
        <p className="hint">{t.info.inviteHint}</p>
        <Picker chosen={chosen} onChange={setChosen} single autoFocus without={members.map(({ userId }) => userId)} />
        <Field label={t.primeRoom.password} type="password" value={password} onChange={setPassword} required autoComplete="off" error={errors['password']} />
        <FormError failure={failure} fields={['password']} />
        <div className="dialog-actions"><Button kind="primary" type="submit" busy={busy} disabled={!chosen.length}>{t.info.invite}</Button></div>
      </form>
    </Dialog>
  );
}

