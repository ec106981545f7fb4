import type { Changes, Chat, History, Message, Reaction } from '../types/index.js';

/** A numbered change of a room: a push, an ack, or a message that `sync` returned. */
export interface Numbered {
  seq: number;
  /** The message as it is after the change. Without it only `sync` tells: pushes of system messages have none. */
  message?: Message;
}

const MOST_HELD = 1000;
/** By how much a system message changes the number of members. */
const MEMBERS: Record<string, number> = { joined: 1, left: -1, removed: -1 };
const NOTHING = { unread: 0, unreadMentions: 0, firstUnreadSeq: null };

/**
 * What this client knows of a room. It only computes: it asks nobody and waits for nothing. The invariant: up to
 * `cursor` everything has been seen, and nothing that comes later is applied before what comes first.
 */
export class RoomState {
  /** Undefined while the room is not in the list of chats: unknown yet, left or deleted. */
  chat: Chat | undefined;
  cursor = 0;
  /** The highest number that anything has named. */
  heard = 0;
  /** The window of the history: all messages with `first <= seq <= last`. It has the newest ones while `last` is infinite. */
  messages = new Map<number, Message>();
  first = Infinity;
  last = Infinity;
  hasOlder = true;
  /** The `clientMessageId`s of this user's messages in the window. */
  sent = new Set<string>();
  read = 0;
  /** The number of unread messages may be too high, or the room itself has changed: only the list of chats knows. */
  doubtful = false;

  #held = new Map<number, Message>();
  #syncing = false;
  #asked = 0;
  #journals = new Set<Message[]>();
  #listed = 0;
  /** New messages that the list does not know of, and whether they mention the user. */
  #counted = new Map<number, boolean>();

  constructor(
    readonly id: number,
    readonly me: string,
    /** A message of somebody else is new. */
    private arrived?: (message: Message) => void,
  ) {}

  // --- Numbered changes ---------------------------------------------------------------------------------------------

  /** A change came. Something may be missing before it, or in it, that only `sync` knows: then this is `behind`. */
  take({ seq, message }: Numbered): void {
    if (seq <= this.cursor) return;
    this.heard = Math.max(this.heard, seq);
    if (message) this.#held.set(seq, message);
    if (this.#held.size > MOST_HELD) this.#held.clear();
    if (!this.#syncing && this.chat) this.#release();
  }

  get behind(): boolean {
    return this.cursor < this.heard;
  }

  /** Whether the next change is known to lack something, so that there is no use in waiting for it. */
  get hopeless(): boolean {
    return !this.#held.size;
  }

  #release(): void {
    for (const seq of [...this.#held.keys()].sort((a, b) => a - b)) {
      const message = this.#held.get(seq)!;
      if (seq > this.cursor + 1) break;
      this.#held.delete(seq);
      if (seq <= this.cursor) continue;
      this.cursor = seq;
      this.#apply(message);
    }
  }

  #apply(message: Message): void {
    for (const journal of this.#journals) journal.push(message);
    this.#put(message, true);
  }

  #put(message: Message, live: boolean): void {
    const { seq, userId, kind, content, clientMessageId, editedAt, mentions, mentionsAll } = message;
    const newer = (old: Message | null | undefined) => !old || old.seq < seq || (old.seq === seq && old.updatedSeq < message.updatedSeq);
    if (seq >= this.first && seq <= this.last && newer(this.messages.get(seq))) {
      this.messages.set(seq, message);
      if (clientMessageId && userId === this.me) this.sent.add(clientMessageId);
    }
    if (!live || !this.chat) return;
    if (newer(this.chat.lastMessage)) this.chat = { ...this.chat, lastMessage: message };
    // What was edited or deleted may have been among those that the list has counted. It does not say which these are.
    if ((message.deleted || editedAt) && seq <= this.#listed && seq > this.read && this.chat.unread) this.doubtful = true;
    if (seq <= this.#listed) return;
    if (kind === 'system') {
      const { room } = this.chat;
      const change = MEMBERS[content];
      if (change) this.chat = { ...this.chat, room: { ...room, memberCount: room.memberCount + change } };
      else this.doubtful = true;
    } else if (message.deleted || userId === this.me || seq <= this.read) this.#counted.delete(seq);
    else {
      const known = this.#counted.has(seq);
      this.#counted.set(seq, mentionsAll || mentions.includes(this.me));
      if (!known) this.arrived?.(message);
    }
  }

  // --- sync ---------------------------------------------------------------------------------------------------------

  /** `sync` is asked with the cursor. Until its last page is here, pushes are held. */
  syncBegins(): number {
    this.#syncing = true;
    this.#asked = this.heard;
    return this.cursor;
  }

  /** Takes a page of `sync`. Returns whether there is more to ask for. */
  syncPage(page: Extract<Changes['rooms'][string], { nextSeq: number }>): boolean {
    for (const message of page.messages) this.#apply(message);
    this.cursor = page.nextSeq;
    if (page.hasMore) return true;
    // What was heard of before the question is in the answer, or does not exist any more.
    if (this.heard === this.#asked) this.heard = this.cursor;
    this.syncEnds();
    return this.behind;
  }

  syncEnds(): void {
    this.#syncing = false;
    this.#release();
  }

  // --- The list of chats --------------------------------------------------------------------------------------------

  /** A row of the list of chats. */
  list(chat: Chat): void {
    const old = this.chat;
    // The row is older than what has come meanwhile.
    if (old && chat.lastSeq < this.cursor && chat.lastSeq <= this.#listed) return;
    // What came before this client knew the room.
    if (!old) for (const [seq, message] of this.#held) if (seq === message.seq && seq > chat.readSeq && message.userId !== this.me && message.kind !== 'system') this.arrived?.(message);
    if (!old || chat.lastSeq >= this.cursor) {
      this.chat = chat;
      this.#listed = chat.lastSeq;
      this.#counted.clear();
      this.doubtful = false;
    }
    this.read = Math.max(this.read, chat.readSeq);
    this.heard = Math.max(this.heard, chat.lastSeq);
    // Nobody looks at its history: what the row says is everything.
    if (this.first === Infinity && !this.#journals.size && !this.#syncing) {
      this.cursor = Math.max(this.cursor, chat.lastSeq);
      this.#release();
    }
  }

  /** Not a member any more, or deleted. */
  forget(): void {
    this.chat = undefined;
    this.#unload();
    this.#held.clear();
    this.#counted.clear();
    this.heard = this.cursor;
    this.#syncing = false;
  }

  /** The user has read up to `seq`. */
  readTo(seq: number): void {
    this.read = Math.max(this.read, seq);
    if (this.chat?.membership.markedUnread) this.chat = { ...this.chat, membership: { ...this.chat.membership, markedUnread: false } };
  }

  get shown(): Chat | undefined {
    const { chat, read } = this;
    if (!chat) return undefined;
    const { unread, unreadMentions, firstUnreadSeq } = read < this.#listed ? chat : NOTHING;
    const counted = [...this.#counted].filter(([seq]) => seq > read);
    return {
      ...chat,
      readSeq: read,
      unread: Math.min(100, unread + counted.length),
      unreadMentions: Math.min(100, unreadMentions + counted.filter(([, mentioned]) => mentioned).length),
      firstUnreadSeq: unread || !counted.length ? firstUnreadSeq : Math.min(...counted.map(([seq]) => seq)),
      lastSeq: Math.max(chat.lastSeq, this.cursor),
    };
  }

  // --- History ------------------------------------------------------------------------------------------------------

  /**
   * Reads a page of the history. What changes until it is here is applied to it, since it may be older. A `fresh` one
   * replaces what is loaded.
   */
  async load(read: () => Promise<History>, fresh = false): Promise<void> {
    const journal: Message[] = [];
    this.#journals.add(journal);
    try {
      const { messages, hasOlder, hasNewer } = await read();
      if (fresh) this.#unload();
      // A page after a number does not tell of what is before, and the other way round.
      if (hasOlder !== null) {
        this.first = messages[0]?.seq ?? (this.first < Infinity ? this.first : 0);
        this.hasOlder = hasOlder;
      }
      if (hasNewer !== null) this.last = hasNewer ? messages.at(-1)!.seq : Infinity;
      for (const message of [...messages, ...journal]) this.#put(message, false);
    } finally {
      this.#journals.delete(journal);
    }
  }

  #unload(): void {
    this.messages.clear();
    this.sent.clear();
    this.first = this.last = Infinity;
    this.hasOlder = true;
  }

  /** The loaded messages in the order of the history. */
  get sorted(): Message[] {
    return [...this.messages.values()].sort((a, b) => a.seq - b.seq);
  }
}

/** The reactions of a message after a user has given one, or taken it back. */
export function react(list: Reaction[], reaction: string, userId: string, removed: boolean, me: string): Reaction[] {
  const old = list.find(r => r.reaction === reaction);
  const given = old?.userIds.includes(userId) || (old?.mine && userId === me);
  if (removed) {
    if (!old || (!given && userId === me)) return list;
    const left = { ...old, count: old.count - 1, mine: old.mine && userId !== me, userIds: old.userIds.filter(id => id !== userId) };
    return left.count > 0 ? list.map(r => (r === old ? left : r)) : list.filter(r => r !== old);
  }
  if (!old) return [...list, { reaction, count: 1, mine: userId === me, userIds: [userId] }];
  if (given) return list;
  return list.map(r => (r === old ? { ...r, count: r.count + 1, mine: r.mine || userId === me, userIds: [...r.userIds, userId].slice(0, 10) } : r));
}

export const seqOf = (messageId = ''): number => Number(messageId.split('-')[1]);
