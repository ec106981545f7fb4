import { useCallback, useEffect, useMemo, useState } from 'react';
import type { DragEvent } from 'react';
import { useChat, useCoterie, useMembers, useStatus, useTyping } from 'coterie/react';
import type { Chat, Failure, Shown } from 'coterie';
import { failureOf } from '../app/errors.js';
import { useChatName, useMe, usePerson } from '../app/people.js';
import { go, hrefs } from '../app/router.js';
import { ago } from '../app/time.js';
import { classes } from '../app/util.js';
import { joinChannel } from '../chats/dialogs.js';
import { showProfile } from '../people/profile.js';
import { t } from '../strings.js';
import { PersonAvatar, RoomAvatar } from '../ui/Avatar.js';
import { Button, IconButton } from '../ui/Button.js';
import { Icon } from '../ui/Icon.js';
import { Empty, Failed, Spinner } from '../ui/parts.js';
import { Composer, choose } from './Composer.js';
import type { Chosen } from './Composer.js';
import { MessageList } from './MessageList.js';
import { RoomInfo } from './RoomInfo.js';

interface Props {
  roomId: number;
  messageId: string | undefined;
  info: boolean;
}

export function RoomPage({ roomId, messageId, info }: Props) {
  const chat = useChat(roomId);
  return chat ? <Conversation chat={chat} messageId={messageId} info={info} /> : <NotInList roomId={roomId} />;
}

/** A room that is not among the user's chats: not yet, not any more, or a channel to join. */
function NotInList({ roomId }: { roomId: number }) {
  const c = useCoterie();
  const status = useStatus();
  const [room, setRoom] = useState<Chat['room']>();
  const [failure, setFailure] = useState<Failure>();
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (status !== 'open') return;
    let isOver = false;
    // The list of chats comes at the same time: most of the time there is nothing to ask.
    const timer = setTimeout(() => {
      c.api('get', '/api/rooms/{roomId}', { path: { roomId } }).then(
        found => !isOver && setRoom(found.room),
        (error: unknown) => !isOver && setFailure(failureOf(error)),
      );
    }, 700);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [c, roomId, status, round]);
  if (failure && failure.status !== 403 && failure.status !== 404) {
    return <Failed failure={failure} retry={() => {
      setFailure(undefined);
      setRound(round + 1);
    }} />;
  }
  if (failure) {
    return (
      <Empty icon="chats" title={t.room.notFound} hint={t.room.notFoundHint}>
        <Button onClick={() => go(hrefs.chats)}>{t.chats.title}</Button>
      </Empty>
    );
  }
  if (room?.kind !== 'channel') return <Spinner />;
  return (
    <Empty icon="channels" title={room.name} hint={room.topic ?? t.room.members(room.memberCount)}>
      <Button kind="primary" onClick={() => void joinChannel(c, roomId)}>{t.channels.join}</Button>
    </Empty>
  );
}

function Conversation({ chat, messageId, info }: { chat: Chat; messageId: string | undefined; info: boolean }) {
  const { chatId: roomId, room, peer } = chat;
  const c = useCoterie();
  const me = useMe();
  const members = useMembers(roomId);
  const [replyTo, setReplyTo] = useState<Shown>();
  const [editing, setEditing] = useState<Shown>();
  const [files, setFiles] = useState<Chosen[]>([]);
  const [isOver, setOver] = useState(false);
  const own = members.find(({ userId }) => userId === me.userId);
  const isModerator = room.kind !== 'direct' && (own?.role === 'owner' || own?.role === 'moderator');
  const rules = isModerator || (room.kind === 'channel' && me.role !== 'user');
  const name = useChatName(chat);

  const onReply = useCallback((message: Shown) => {
    setEditing(undefined);
    setReplyTo(message);
  }, []);
  const onEdit = useCallback((message: Shown) => {
    setReplyTo(undefined);
    setEditing(message);
  }, []);
  const scene = useMemo(
    () => ({ room, me: me.userId, mayDeleteOthers: rules, names: new Map(members.map(({ userId, name }) => [userId, name])), onReply, onEdit }),
    [room, me.userId, rules, members, onReply, onEdit],
  );
  const onEditLast = () => {
    const mine = c.room(roomId).messages.snapshot().items.findLast(message => message.userId === me.userId && message.status === 'sent' && !message.deleted && message.kind === 'text' && !message.isEncrypted);
    if (mine) onEdit(mine);
  };
  const onDone = () => {
    setReplyTo(undefined);
    setEditing(undefined);
  };

  const carriesFiles = (event: DragEvent) => event.dataTransfer.types.includes('Files');
  const onDrop = (event: DragEvent) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    setOver(false);
    setFiles(old => [...old, ...choose(event.dataTransfer.files)]);
  };

  return (
    <div className={classes('conversation', info && 'with-info')}>
      <section
        className="talk"
        aria-label={name}
        onDragOver={event => {
          if (!carriesFiles(event)) return;
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={event => event.currentTarget.contains(event.relatedTarget as Node | null) || setOver(false)}
        onDrop={onDrop}
      >
        <header className="room-header">
          <IconButton icon="back" label={t.back} className="only-narrow" onClick={() => go(hrefs.chats)} />
          <a className="room-title" href={info ? hrefs.room(roomId) : hrefs.info(roomId)} title={t.room.info} aria-expanded={info}>
            {peer ? <PersonAvatar userId={peer.userId} name={peer.name} size={40} /> : <RoomAvatar room={room} size={40} />}
            <span className="room-title-text">
              <span className="room-name">{name}</span>
              <span className="hidden-text">{t.room.info}</span>
              {peer ? <PeerLine userId={peer.userId} name={peer.name} /> : <span className="hint">{members.length && room.memberCount <= 50 ? t.room.membersOnline(room.memberCount, members.filter(({ online }) => online).length) : t.room.members(room.memberCount)}{room.topic ? ` · ${room.topic}` : ''}</span>}
            </span>
          </a>
          {peer && <IconButton icon="user" label={t.people.profile} onClick={() => showProfile(peer.userId)} />}
          <IconButton icon="info" label={t.room.info} aria-pressed={info} onClick={() => go(info ? hrefs.room(roomId) : hrefs.info(roomId))} />
        </header>
        <MessageList chat={chat} scene={scene} messageId={messageId} />
        <TypingLine roomId={roomId} />
        <Composer
          roomId={roomId}
          name={name}
          members={members}
          mayMentionAll={isModerator || room.kind === 'direct'}
          pause={rules ? 0 : room.slowModeSeconds}
          replyTo={replyTo}
          editing={editing}
          files={files}
          onFiles={setFiles}
          onDone={onDone}
          onEditLast={onEditLast}
        />
        {isOver && <div className="drop"><Icon name="attach" size={32} />{t.composer.drop}</div>}
      </section>
      {info && <RoomInfo chat={chat} members={members} own={own} />}
    </div>
  );
}

function PeerLine({ userId, name }: { userId: string; name: string }) {
  const { online, lastSeenAt } = usePerson(userId, name);
  return <span className="hint">{online ? t.room.online : lastSeenAt ? t.room.lastSeen(ago(lastSeenAt)) : t.room.offline}</span>;
}

function TypingLine({ roomId }: { roomId: number }) {
  const typing = useTyping(roomId);
  const [a, b] = typing;
  const { one, two, many } = t.room.typing;
  return <p className="typing-line" role="status">{a && (typing.length > 2 ? many : b ? two(a.name, b.name) : one(a.name))}</p>;
}
