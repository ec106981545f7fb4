import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { KeyboardEvent } from 'react';
import { Virtualizer } from 'virtua';
import type { ScrollToIndexOpts, VirtualizerHandle } from 'virtua';
import { useCoterie, useMembers, useMessages, useReads, useStatus } from 'coterie/react';
import type { Chat, Failure, Shown } from 'coterie';
import { failureOf } from '../app/errors.js';
import { useChatName } from '../app/people.js';
import { currentRoute, hrefs, replace } from '../app/router.js';
import { day } from '../app/time.js';
import { preview } from '../chats/preview.js';
import { t } from '../strings.js';
import { IconButton } from '../ui/Button.js';
import { tellFailure } from '../ui/overlays.js';
import { Badge, Empty, Failed, Spinner } from '../ui/parts.js';
import { Message, readers } from './Message.js';
import type { Scene } from './Message.js';

/** How close to an end of what is loaded more is asked for, in pixels. */
const NEAR = 800;
/** How far from the end still counts as being there, in pixels. */
const AT_END = 48;
/** How long a list needs to measure what it shows, in milliseconds. */
const SETTLES = 150;
/** How long after a turn of the wheel, a touch or a key a scroll is somebody's, in milliseconds. */
const BY_HAND = 500;
/** Messages of one person within this time are one group. */
const GROUP = 5 * 60_000;

const sameDay = (a: string, b: string) => new Date(a).toDateString() === new Date(b).toDateString();

function follows(message: Shown, before: Shown | undefined): boolean {
  return (
    !!before && before.kind !== 'system' && before.userId === message.userId && sameDay(before.createdAt, message.createdAt) &&
    Date.parse(message.createdAt) - Date.parse(before.createdAt) < GROUP
  );
}

/** Whether somebody looks at the page. */
function useLooking(): boolean {
  const read = () => !document.hidden && document.hasFocus();
  const [looking, setLooking] = useState(read);
  useEffect(() => {
    const changed = () => setLooking(read());
    for (const name of ['focus', 'blur', 'visibilitychange']) addEventListener(name, changed, true);
    return () => {
      for (const name of ['focus', 'blur', 'visibilitychange']) removeEventListener(name, changed, true);
    };
  }, []);
  return looking;
}

interface Props {
  chat: Chat;
  scene: Scene;
  /** The message that the address names. */
  messageId: string | undefined;
}

/** The history of a room. Only what is near the window is in the document. */
export function MessageList({ chat, scene, messageId }: Props) {
  const { chatId: roomId } = chat;
  const c = useCoterie();
  const room = c.room(roomId);
  const status = useStatus();
  const { items, hasOlder, hasNewer } = useMessages(roomId);
  const members = useMembers(roomId);
  const reads = useReads(roomId);
  const looking = useLooking();
  const name = useChatName(chat);
  const [failure, setFailure] = useState<Failure>();
  const [active, setActive] = useState<string>();
  const [target, setTarget] = useState<string>();
  const [isAtEnd, setAtEnd] = useState(true);
  const [heard, setHeard] = useState('');
  const scroller = useRef<HTMLDivElement>(null);
  const handle = useRef<VirtualizerHandle>(null);
  /** Where to go once it is loaded. */
  const wanted = useRef<{ seq: number; align: 'start' | 'center' } | 'end' | undefined>(undefined);
  const sticks = useRef(true);
  /** When somebody has last moved the list: it leaves the end for nobody else. */
  const moved = useRef(-Infinity);
  const isDragging = useRef(false);
  /** Sees what is in view: loads more, and says what was read. */
  const look = useRef<() => void>(undefined);
  /** Until when the list moves by itself. */
  const moves = useRef(0);
  const isLoading = !items.length && hasOlder;

  // The line above what was new when the room was opened, or when somebody looked away.
  const [newAfter, setNewAfter] = useState<number | undefined>(() => (chat.unread ? chat.readSeq : undefined));
  const lastSeq = useRef(chat.lastSeq);
  lastSeq.current = chat.lastSeq;
  useEffect(() => {
    if (!looking) setNewAfter(old => (sticks.current ? lastSeq.current : old));
  }, [looking]);
  const newKey = useMemo(
    () => (newAfter === undefined ? undefined : items.find(({ seq, userId, kind }) => seq > newAfter && userId !== scene.me && kind !== 'system')?.key),
    [items, newAfter, scene.me],
  );

  // --- Loading --------------------------------------------------------------------------------------------------------
  const load = useCallback((act: () => Promise<void>) => act().then(() => setFailure(undefined), (error: unknown) => {
    wanted.current = undefined;
    setFailure(failureOf(error));
  }), []);
  useEffect(() => {
    if (status === 'open' && isLoading) void load(() => room.latest());
  }, [room, status, isLoading, load]);

  const isFirst = useRef(true);
  useEffect(() => {
    if (!messageId) return;
    wanted.current = { seq: Number(messageId.split('-')[1]) || 0, align: 'center' };
    sticks.current = false;
    room.jumpTo(messageId).then(() => setTarget(messageId), (error: unknown) => {
      wanted.current = undefined;
      tellFailure(error);
    });
  }, [messageId, room]);
  useEffect(() => {
    if (!target) return;
    const timer = setTimeout(() => {
      setTarget(undefined);
      // So that the same link leads there again.
      const route = currentRoute();
      if (route.page === 'room' && route.messageId === target) replace(hrefs.room(roomId));
    }, 2500);
    return () => clearTimeout(timer);
  }, [target, roomId]);

  // --- Scrolling ------------------------------------------------------------------------------------------------------
  // Older messages come in front: the position counts from the end then. Another part of the history is another list.
  const before = useRef<{ first: string | undefined; generation: number; count: number; last: string | undefined }>({ first: undefined, generation: 0, count: 0, last: undefined });
  const firstKey = items[0]?.key;
  const old = before.current;
  const oldAt = old.first === undefined ? -1 : items.findIndex(({ key }) => key === old.first);
  const isShift = oldAt > 0;
  const generation = old.generation + (old.first !== undefined && items.length > 0 && oldAt < 0 ? 1 : 0);
  const last = items.at(-1);

  useLayoutEffect(() => {
    const { count, last: lastKey } = before.current;
    before.current = { first: firstKey, generation, count: items.length, last: last?.key };
    if (!items.length || !handle.current) return;
    // What somebody has sent is what they want to see.
    if (last?.status === 'sending' && last.key !== lastKey && items.length > count) {
      sticks.current = true;
      setNewAfter(undefined);
      if (hasNewer) {
        wanted.current = 'end';
        void load(() => room.latest());
      }
    }
    // Where the room opens: at what is unread, or at its end.
    if (isFirst.current) {
      isFirst.current = false;
      const { unread, firstUnreadSeq } = room.chat.snapshot() ?? {};
      if (!messageId && unread && firstUnreadSeq) {
        wanted.current = { seq: firstUnreadSeq, align: 'start' };
        sticks.current = false;
        if (firstUnreadSeq < items[0]!.seq) void load(() => room.jumpTo(`${roomId}-${firstUnreadSeq}`));
      }
    }
    const want = wanted.current;
    const scrollTo = (index: number, options: ScrollToIndexOpts) => {
      moves.current = performance.now() + SETTLES;
      handle.current!.scrollToIndex(index, options);
      setTimeout(() => look.current?.(), SETTLES + 20);
    };
    if (want && want !== 'end') {
      const { seq, align } = want;
      const index = items.findIndex(item => item.seq >= seq);
      // It is being loaded.
      if (index < 0 || (items[0]!.seq > seq && hasOlder)) return;
      wanted.current = undefined;
      scrollTo(index, { align, offset: align === 'start' ? -64 : 0 });
      if (align === 'center') setActive(items[index]!.key);
    } else if ((sticks.current || want === 'end') && !hasNewer) {
      wanted.current = undefined;
      scrollTo(items.length - 1, { align: 'end' });
    }
  }, [items, firstKey, generation, last, hasOlder, hasNewer, target, load, messageId, room, roomId]);

  look.current = () => {
    const list = handle.current;
    const box = scroller.current;
    if (!list || !box || !items.length || wanted.current || performance.now() < moves.current) return;
    const offset = box.scrollTop;
    const left = box.scrollHeight - box.clientHeight - offset;
    const isEnd = left < AT_END && !hasNewer;
    const now = performance.now();
    if (isDragging.current || now - moved.current < BY_HAND) {
      // A swipe goes on for a while.
      moved.current = now;
      sticks.current = isEnd;
    } else if (isEnd) sticks.current = true;
    setAtEnd(isEnd);
    if (offset < NEAR && hasOlder) void load(() => room.older());
    if (left < NEAR && hasNewer) void load(() => room.newer());
    if (document.hidden || !document.hasFocus()) return;
    const { readSeq, lastSeq, membership } = room.chat.snapshot() ?? chat;
    const seen = sticks.current ? lastSeq : (items[list.findItemIndex(offset + box.clientHeight - 24)]?.seq ?? 0);
    if (seen > readSeq || (membership.markedUnread && sticks.current)) room.markRead(seen);
  };
  const byHand = () => {
    moved.current = performance.now();
    moves.current = 0;
  };
  useEffect(() => {
    const released = () => void (isDragging.current = false);
    addEventListener('pointerup', released);
    return () => removeEventListener('pointerup', released);
  }, []);
  // What is measured, or has grown, must not push the end out of view.
  const onResize = () => {
    if (sticks.current && !hasNewer && !wanted.current && items.length) handle.current?.scrollToIndex(items.length - 1, { align: 'end' });
  };
  // What is new may be in view without scrolling.
  useEffect(() => {
    if (!isLoading && looking) requestAnimationFrame(() => look.current?.());
  }, [items, looking, isLoading]);
  // The window became smaller, as with a keyboard on the screen.
  useEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const observer = new ResizeObserver(() => sticks.current && box.scrollTo({ top: box.scrollHeight }));
    observer.observe(box);
    return () => observer.disconnect();
  }, [isLoading]);

  const toEnd = () => {
    if (hasNewer) {
      wanted.current = 'end';
      void load(() => room.latest());
    }
    sticks.current = true;
    handle.current?.scrollToIndex(items.length - 1, { align: 'end' });
  };

  // What others say is read out, not what scrolling brings.
  useEffect(() => c.on('message', message => {
    if (message.roomId === roomId) setHeard(t.room.announced(message.name, preview(message)));
  }), [c, roomId]);

  // --- Keys -----------------------------------------------------------------------------------------------------------
  const activeKey = active && items.some(({ key }) => key === active) ? active : items.findLast(({ kind }) => kind !== 'system')?.key;
  const activeAt = items.findIndex(({ key }) => key === activeKey);
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    byHand();
    const article = (event.target as HTMLElement).closest<HTMLElement>('article');
    if (!article || event.ctrlKey || event.metaKey || event.altKey) return;
    const onArticle = event.target === article;
    const press = (act: string) => article.querySelector<HTMLElement>(act)?.click();
    const message = items[activeAt];
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step) {
      let to = activeAt + step;
      while (items[to]?.kind === 'system') to += step;
      const next = items[to];
      if (!next) return;
      setActive(next.key);
      handle.current?.scrollToIndex(to, { align: 'nearest' });
      requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-key="${next.key}"]`)?.focus());
    } else if (event.key === 'Escape') document.querySelector<HTMLElement>('.composer textarea')?.focus();
    else if (!onArticle || !message) return;
    else if (event.key === 'Enter') press('.tools .more');
    else if (event.key === 'r') scene.onReply(message);
    else if (event.key === '+') press('[data-act="react"]');
    else if (event.key === 'e' && message.userId === scene.me && !message.deleted) scene.onEdit(message);
    else return;
    event.preventDefault();
  };

  if (failure && !items.length) return <Failed failure={failure} retry={() => void load(() => room.latest())} />;
  if (isLoading) return <Spinner />;
  return (
    <div className="history">
      <p className="hidden-text" aria-live="polite">{heard}</p>
      <p className="hidden-text" id={`keys-${roomId}`}>{t.room.keys}</p>
      <div ref={scroller} className="scroller" role="region" aria-label={t.room.messages} aria-describedby={`keys-${roomId}`} tabIndex={items.length ? -1 : 0} onKeyDown={onKeyDown} onWheel={byHand} onTouchMove={byHand} onPointerDown={() => void (isDragging.current = true)} onScroll={() => look.current?.()}>
        <div className="spacer" />
        {items.length === 0 && <Empty icon="chats" title={t.room.empty} hint={t.room.emptyHint} />}
        <Virtualizer key={generation} ref={handle} scrollRef={scroller} shift={isShift} onResize={onResize} as="ul" item="li" keepMounted={activeAt < 0 ? [] : [activeAt]}>
          {items.map((message, index) => {
            const previous = items[index - 1];
            const isNewDay = !previous || !sameDay(previous.createdAt, message.createdAt);
            return (
              <div key={message.key}>
                {index === 0 && !hasOlder && <p className="beginning">{t.room.start(name, chat.room.kind === 'direct')}</p>}
                {isNewDay && <p className="day"><span>{day(message.createdAt)}</span></p>}
                {message.key === newKey && <p className="new-line"><span>{t.room.newLine}</span></p>}
                <Message
                  scene={scene}
                  message={message}
                  follows={message.key !== newKey && follows(message, previous)}
                  readBy={message.userId === scene.me && message.seq ? readers(members, reads, scene.me, message.seq) : undefined}
                  isActive={message.key === activeKey}
                  isTarget={message.messageId === target}
                  onActive={setActive}
                />
              </div>
            );
          })}
        </Virtualizer>
      </div>
      {(!isAtEnd || hasNewer) && (
        <div className="to-end">
          <IconButton icon="down" label={chat.unread ? t.room.newBelow(chat.unread) : t.room.toBottom} onClick={toEnd} />
          <Badge count={chat.unread} />
        </div>
      )}
    </div>
  );
}

