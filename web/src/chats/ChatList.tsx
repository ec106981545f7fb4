import { useMemo, useState } from 'react';
import type { KeyboardEvent } from 'react';
import { useCoterie, useRooms, useTyping } from 'coterie/react';
import type { Chat } from 'coterie';
import { useChatName, useMe, usePerson } from '../app/people.js';
import { hrefs } from '../app/router.js';
import { short } from '../app/time.js';
import { classes } from '../app/util.js';
import { t } from '../strings.js';
import { RoomAvatar, PersonAvatar } from '../ui/Avatar.js';
import { Icon } from '../ui/Icon.js';
import { Menu } from '../ui/Menu.js';
import { attempt } from '../ui/overlays.js';
import { Badge, Empty } from '../ui/parts.js';
import { Button } from '../ui/Button.js';
import { draftOf } from '../room/drafts.js';
import { createChannel, createGroup, createRoom, joinRoom, newDirect } from './dialogs.js';
import { preview, roomName } from './preview.js';

const filters = ['all', 'unread', 'direct', 'archived'] as const;
type Filter = (typeof filters)[number];

const isUnread = (chat: Chat) => chat.unread > 0 || chat.membership.markedUnread;

function fits(chat: Chat, filter: Filter, words: string): boolean {
  if (words && !roomName(chat.room, chat.peer).toLocaleLowerCase().includes(words)) return false;
  if (words) return true;
  if (filter === 'archived') return chat.membership.archived;
  if (chat.membership.archived) return false;
  return filter === 'all' || (filter === 'direct' ? chat.room.kind === 'direct' : isUnread(chat));
}

/** The user's chats: favorites first, then the newest activity. */
export function ChatList({ current }: { current: number | undefined }) {
  const rooms = useRooms();
  const me = useMe();
  const [filter, setFilter] = useState<Filter>('all');
  const [search, setSearch] = useState('');
  const words = search.trim().toLocaleLowerCase();
  const shown = useMemo(() => {
    const fitting = rooms.filter(chat => fits(chat, filter, words));
    return [...fitting.filter(chat => chat.membership.favorite), ...fitting.filter(chat => !chat.membership.favorite)];
  }, [rooms, filter, words]);
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const links = [...event.currentTarget.querySelectorAll<HTMLElement>('a')];
    const next = links.indexOf(document.activeElement as HTMLElement) + step;
    links[Math.max(0, Math.min(links.length - 1, next))]?.focus();
    event.preventDefault();
  };
  const mayCreateChannels = me.role !== 'user';
  return (
    <section className="chat-list" aria-label={t.chats.title}>
      <header>
        <h1>{t.chats.title}</h1>
        <Menu
          label={t.chats.new}
          icon="new"
          className="icon-button filled"
          items={[
            { label: t.chats.newDirect, icon: 'edit', act: newDirect },
            { label: t.chats.newGroup, icon: 'people', act: createGroup },
            { label: t.chats.browse, icon: 'channels', act: () => (location.hash = hrefs.channels) },
            { label: t.chats.joinRoom, icon: 'lock', act: () => joinRoom() },
            me.prime && { label: t.chats.newRoom, icon: 'new', act: createRoom },
            mayCreateChannels && { label: t.chats.newChannel, icon: 'channels', act: createChannel },
          ]}
        />
      </header>
      <div className="search">
        <Icon name="search" size={18} />
        <input type="search" value={search} placeholder={t.chats.search} aria-label={t.chats.search} onChange={event => setSearch(event.currentTarget.value)} />
      </div>
      <div className="chips" role="group" aria-label={t.chats.filters}>
        {filters.map(name => (
          <button key={name} type="button" aria-pressed={filter === name} onClick={() => setFilter(name)}>{t.chats[name]}</button>
        ))}
      </div>
      {shown.length ? (
        <ul className="rows" aria-label={t.chats.list} onKeyDown={onKeyDown}>
          {shown.map(chat => <Row key={chat.chatId} chat={chat} current={chat.chatId === current} />)}
        </ul>
      ) : rooms.length ? (
        <Empty icon="search" title={t.chats.emptyFilter} hint={t.chats.emptyFilterHint} />
      ) : (
        <Empty icon="chats" title={t.chats.empty} hint={t.chats.emptyHint}>
          <Button kind="primary" icon="edit" onClick={newDirect}>{t.chats.newDirect}</Button>
          <Button icon="people" onClick={createGroup}>{t.chats.newGroup}</Button>
        </Empty>
      )}
    </section>
  );
}

function Row({ chat, current }: { chat: Chat; current: boolean }) {
  const { chatId, room, peer, membership, unread, unreadMentions, lastMessage } = chat;
  const name = useChatName(chat);
  const isMuted = membership.notifications === 'none';
  return (
    <li>
      <a href={hrefs.room(chatId)} className={classes('row', isUnread(chat) && 'unread')} aria-current={current ? 'true' : undefined}>
        {peer ? <Peer userId={peer.userId} name={peer.name} /> : <RoomAvatar room={room} size={48} />}
        <span className="row-text">
          <span className="row-top">
            <span className="row-name">{name}</span>
            {membership.favorite && <span className="mark" title={t.info.favorite}><Icon name="star" size={14} /></span>}
            {membership.notifications !== 'all' && (
              <span className="mark" title={isMuted ? t.chats.muted : t.chats.mentionsOnly}><Icon name={isMuted ? 'mute' : 'at'} size={14} /></span>
            )}
            <time dateTime={lastMessage?.createdAt ?? room.createdAt}>{short(lastMessage?.createdAt ?? room.createdAt)}</time>
          </span>
          <span className="row-bottom">
            <LastLine chat={chat} />
            <Badge count={unreadMentions} kind="mention" label={t.chats.mentionCount(unreadMentions)} />
            <Badge count={unread} kind={isMuted ? 'muted' : undefined} label={t.chats.unreadCount(unread)} />
            {!unread && membership.markedUnread && <span className="dot" role="img" aria-label={t.chats.markedUnread} />}
          </span>
        </span>
      </a>
    </li>
  );
}

function Peer({ userId, name }: { userId: string; name: string }) {
  const { online } = usePerson(userId, name);
  return (
    <>
      <PersonAvatar userId={userId} name={name} size={48} />
      {online && <span className="hidden-text">{t.chats.online}</span>}
    </>
  );
}

function LastLine({ chat: { chatId, room, lastMessage } }: { chat: Chat }) {
  const c = useCoterie();
  const typing = useTyping(chatId);
  const draft = draftOf(chatId);
  if (typing[0]) return <span className="row-line typing">{t.room.typing.one(typing[0].name)}</span>;
  if (draft) return <span className="row-line"><span className="draft">{t.chats.draft}</span> {draft}</span>;
  if (!lastMessage) return <span className="row-line">{t.chats.nothingYet}</span>;
  const mine = lastMessage.userId === c.user.snapshot()?.userId;
  const from = lastMessage.kind === 'system' || (room.kind === 'direct' && !mine) ? '' : `${mine ? t.preview.you : lastMessage.name}: `;
  return (
    <span className="row-line">
      {lastMessage.kind === 'file' && !lastMessage.deleted && <Icon name={lastMessage.attachment?.type.startsWith('image/') ? 'image' : 'file'} size={14} />}
      {from}{preview(lastMessage)}
    </span>
  );
}

/** Puts a chat away, or back. */
export const setMembership = (c: ReturnType<typeof useCoterie>, roomId: number, body: Partial<Chat['membership']>): Promise<boolean> =>
  attempt(() => c.api('patch', '/api/rooms/{roomId}/membership', { path: { roomId }, body }));
