import { useEffect, useState } from 'react';
import { useCoterie } from 'coterie/react';
import type { Profile, components } from 'coterie';
import { friendRequests, friends } from '../app/lists.js';
import { learn, loadAgain, useMe, usePerson } from '../app/people.js';
import type { Person } from '../app/people.js';
import { ago } from '../app/time.js';
import { openDirect } from '../chats/dialogs.js';
import { t } from '../strings.js';
import { PersonAvatar } from '../ui/Avatar.js';
import { Button } from '../ui/Button.js';
import { Dialog } from '../ui/Dialog.js';
import { Field, Select, Switch } from '../ui/Field.js';
import { ask, attempt, show, tell } from '../ui/overlays.js';
import { FormError, useForm } from '../ui/parts.js';

export const showProfile = (userId: string): void => show(close => <ProfileCard userId={userId} close={close} />);

function ProfileCard({ userId, close }: { userId: string; close: () => void }) {
  const c = useCoterie();
  const me = useMe();
  const person = usePerson(userId);
  useEffect(() => loadAgain(userId), [userId]);
  const { name, username, online, lastSeenAt, prime, role } = person;
  return (
    <Dialog title={t.people.profile} onClose={close} className="small">
      <div className="profile">
        <PersonAvatar userId={userId} name={name} size={96} />
        <h3>{name}</h3>
        <p className="hint">{username ? `${username} · ${userId}` : userId}</p>
        <p className="tags">
          {online ? <span className="tag online">{t.room.online}</span> : lastSeenAt ? <span className="hint">{t.room.lastSeen(ago(lastSeenAt))}</span> : null}
          {prime && <span className="tag">{t.people.prime}</span>}
          {role && role !== 'user' && <span className="tag">{t.people.roles[role]}</span>}
        </p>
        {userId === me.userId ? <p className="hint">{t.people.you}</p> : (
          <div className="profile-actions">
            <Button kind="primary" icon="chats" onClick={() => {
              close();
              void openDirect(c, person);
            }}>{t.people.message}</Button>
            <FriendButtons person={person} />
          </div>
        )}
      </div>
      {me.role === 'admin' && role && userId !== me.userId && <ForAdmins person={person} />}
    </Dialog>
  );
}

/** What there is to do about a friendship, as it stands. */
export function FriendButtons({ person }: { person: Person }) {
  const c = useCoterie();
  const me = useMe();
  const { userId, name, friendship } = person;
  const again = () => {
    loadAgain(userId);
    void friends.changed();
    void friendRequests.changed();
  };
  const askThem = () => attempt(async () => {
    const { friendRequest } = await c.api('post', '/api/friend-requests', { body: { userId } });
    const isFriend = friendRequest.status === 'accepted';
    learn({ userId, friendship: isFriend ? 'friends' : 'requestSent' });
    tell(isFriend ? t.people.accepted(name) : t.people.requested(name));
    again();
  });
  const end = () => attempt(async () => {
    await c.api('delete', '/api/friends/{userId}', { path: { userId } });
    learn({ userId, friendship: 'none' });
    again();
  });
  const answer = (status: 'accepted' | 'rejected') => attempt(async () => {
    const { friendRequests: all } = await c.api('get', '/api/friend-requests');
    const request = all.find(each => each.from === userId && each.to === me.userId && each.status === 'pending');
    if (request) await c.api('patch', '/api/friend-requests/{id}', { path: { id: request.id }, body: { status } });
    learn({ userId, friendship: status === 'accepted' ? 'friends' : 'none' });
    if (status === 'accepted') tell(t.people.accepted(name));
    again();
  });
  switch (friendship) {
    case 'none':
      return <Button icon="new" onClick={() => void askThem()}>{t.people.addFriend}</Button>;
    case 'requestSent':
      return <Button icon="close" onClick={() => void end()}>{t.people.withdraw}</Button>;
    case 'requestReceived':
      return (
        <>
          <Button kind="primary" icon="check" onClick={() => void answer('accepted')}>{t.people.accept}</Button>
          <Button onClick={() => void answer('rejected')}>{t.people.decline}</Button>
        </>
      );
    case 'friends':
      return <Button onClick={() => void ask(t.people.removeAsk(name), t.people.removeFriend, t.people.removeHint).then(yes => yes && end())}>{t.people.removeFriend}</Button>;
    default:
      return null;
  }
}

function ForAdmins({ person }: { person: Person }) {
  const c = useCoterie();
  const { userId, role, prime } = person;
  const [coins, setCoins] = useState('');
  const [reason, setReason] = useState('');
  const change = async (body: components['schemas']['UserChange']) => learn(await c.api('patch', '/api/users/{userId}', { path: { userId }, body }));
  const { busy, failure, onSubmit } = useForm(async () => {
    await change({ coins: { delta: Number(coins), reason, idempotencyKey: crypto.randomUUID() } });
    setCoins('');
    setReason('');
    tell(t.people.given);
  });
  return (
    <details className="for-admins">
      <summary>{t.people.admin}</summary>
      <Select label={t.people.role} value={role!} options={Object.entries(t.people.roles) as [Profile['role'], string][]} onChange={next => void attempt(() => change({ role: next }))} />
      <Switch label={t.people.primeSwitch} on={!!prime} onChange={next => void attempt(() => change({ prime: next }))} />
      <form onSubmit={onSubmit}>
        <Field label={t.people.coins} inputMode="numeric" pattern="-?[0-9]+" value={coins} onChange={setCoins} required autoComplete="off" />
        <Field label={t.people.reason} value={reason} onChange={setReason} required maxLength={64} autoComplete="off" />
        <FormError failure={failure} />
        <Button type="submit" busy={busy}>{t.people.give}</Button>
      </form>
    </details>
  );
}
