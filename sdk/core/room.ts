import type { Failure } from './errors.js';
import { ignore } from './errors.js';
import type { Observable } from './observable.js';
import { Value, touch } from './observable.js';
import type { Outbox } from './outbox.js';
import type { RoomState } from './state.js';
import { react, seqOf } from './state.js';
import type { Change, Chat, History, Member, Message } from '../types/index.js';

/** A message as a page shows it. */
export interface Shown extends Omit<Message, 'seq' | 'updatedSeq'> {
  /** It stays the same while a message of this user is sent: what a list should use. */
  key: string;
  /** 0 until the service has stored it. */
  seq: number;
  updatedSeq: number;
  /** `sending`: not confirmed yet. `failed`: refused, see `failure`. `changing`: an edit, a reaction or a deletion is under way. */
  status: 'sent' | 'sending' | 'failed' | 'changing';
  failure?: Failure;
  /** Of a file under way: how much of it is sent, from 0 to 1. */
  progress?: number;
  /** Of a file under way: itself, for a preview. */
  file?: Blob;
}

export interface Messages {
  /** In the order of the history, and at the end those under way. */
  items: Shown[];
  hasOlder: boolean;
  /** After `jumpTo`: whether there are newer ones that are not loaded. */
  hasNewer: boolean;
}

export interface Typing {
  userId: string;
  name: string;
}

export interface SendOptions {
  /** The `messageId` that it answers. */
  replyTo?: string | null;
  isEncrypted?: boolean;
  /** The `userId`s of the members whom it names, 20 at most. */
  mentions?: string[];
  /** Whether it is for everybody: owners and moderators may say so, and both of a direct chat. */
  mentionsAll?: boolean;
}

/** What a room needs of the client. */
export interface Host {
  me: { userId: string; name: string };
  outbox: Pick<Outbox, 'add' | 'of' | 'do'>;
  /** Resolves when it is known from which number on the pushes of the room count. */
  known(state: RoomState): Promise<void>;
  get<T>(path: string): Promise<T>;
  /** Sends a frame, again if it is unknown whether it was done. */
  act<T>(event: string, data: unknown): Promise<T>;
  /** Sends a frame that has no answer. */
  tell(event: string, data: unknown): void;
  /** Says something in all tabs. */
  note(note: { change: Change } | { read: [roomId: number, seq: number] }): void;
}

/** What a message does not have before the service has stored it. */
const UNSENT = { seq: 0, updatedSeq: 0, quoted: null, replyCount: 0, mentions: [], mentionsAll: false, attachment: null, reactions: [], editedAt: null, deleted: false };

const PAGE = 50;
const TYPING_ENDS = 6000;
const TYPING_AGAIN = 2500;

/** A room: what is in it, and what one can do in it. */
export class Room {
  /** The room in the list of chats; undefined if the user is not in it, or while that is not known. */
  readonly chat: Observable<Chat | undefined>;
  /** The loaded part of the history. Whoever subscribes first has the newest page loaded. */
  readonly messages: Observable<Messages>;
  /** The members, the oldest first. They are loaded for whoever subscribes. */
  readonly members: Observable<Member[]>;
  /** How far others have read, by `userId`: what was told since the start, in rooms of at most 50 members. */
  readonly reads: Observable<Record<string, number>>;
  /** Who else is writing. */
  readonly typing: Observable<Typing[]>;

  #readers: Record<string, number> = {};
  #typers = new Map<string, Typing & { timer: ReturnType<typeof setTimeout> }>();
  #people: Member[] = [];
  #peopleAsked = 0;
  #peopleWanted = false;
  /** What the user sees of changes that are under way. */
  #overlays = new Map<string, Map<object, (message: Message) => Message>>();
  #loading: Promise<void> | undefined;
  #saidTyping = -Infinity;
  #readTold = 0;

  constructor(
    readonly id: number,
    private state: RoomState,
    private host: Host,
  ) {
    this.chat = new Value(() => state.shown);
    this.messages = new Value(
      () => this.#show(),
      () => void this.latest().catch(ignore),
    );
    this.members = new Value(
      () => this.#people,
      () => void this.loadMembers().catch(ignore),
    );
    this.reads = new Value(() => ({ ...this.#readers }));
    this.typing = new Value(() => [...this.#typers.values()].map(({ userId, name }) => ({ userId, name })));
  }

  // --- Sending ------------------------------------------------------------------------------------------------------

  /**
   * Sends a text. It is among `messages` at once, and sent when there is a connection, in order with the others of this
   * room. Answers its `key`.
   */
  send(content: string, options?: SendOptions): string {
    this.stopTyping();
    return this.host.outbox.add({ roomId: this.id, content, replyTo: null, isEncrypted: false, ...options });
  }

  /** Sends a file of at most 25 MiB, of a type that the service allows, as `send` does. */
  sendFile(file: Blob & { name?: string }, { caption = '', fileName = file.name ?? 'file' }: { caption?: string; fileName?: string } = {}): string {
    return this.host.outbox.add({ roomId: this.id, content: caption, replyTo: null, isEncrypted: false, file, fileName });
  }

  /** Retries a message that was refused. */
  retry(key: string): void {
    this.host.outbox.do({ id: key, to: { failure: undefined } });
  }

  /** Gives up a message that is not sent. One that is under way may arrive all the same. */
  discard(key: string): void {
    this.host.outbox.do({ id: key });
  }

  /** Changes the text of an own message, and whom it names. It shows at once, and goes back if the service refuses it. */
  edit(messageId: string, content: string, mentions?: Pick<SendOptions, 'mentions' | 'mentionsAll'>): Promise<void> {
    return this.#act('editMessage', { messageId, content, ...mentions }, message => ({ ...message, content, ...mentions }));
  }

  /** Deletes a message. */
  remove(messageId: string): Promise<void> {
    return this.#act('deleteMessage', { messageId }, message => ({ ...message, content: '', attachment: null, reactions: [], deleted: true }));
  }

  /** Gives a reaction, or takes it back; without `on` whichever is possible. */
  react(messageId: string, reaction: string, on?: boolean): Promise<void> {
    const me = this.host.me.userId;
    const mine = this.#find(messageId)?.reactions.some(r => r.reaction === reaction && r.mine) ?? false;
    const remove = !(on ?? !mine);
    return this.#act('reactMessage', { messageId, reaction, remove }, message => ({
      ...message,
      reactions: react(message.reactions, reaction, me, remove, me),
    }));
  }

  #find(messageId: string): Message | undefined {
    return this.state.messages.get(seqOf(messageId));
  }

  async #act(event: string, data: { messageId: string; [field: string]: unknown }, overlay: (message: Message) => Message): Promise<void> {
    const { messageId } = data;
    const mark = {};
    const overlays = this.#overlays.get(messageId) ?? new Map<object, typeof overlay>();
    this.#overlays.set(messageId, overlays.set(mark, overlay));
    touch(this.messages);
    try {
      this.host.note({ change: await this.host.act<Change>(event, data) });
    } finally {
      overlays.delete(mark);
      if (!overlays.size) this.#overlays.delete(messageId);
      touch(this.messages);
    }
  }

  // --- Reading ------------------------------------------------------------------------------------------------------

  /** Says that the user has read everything up to `seq`, or everything there is. */
  markRead(seq: number = this.state.cursor): void {
    if ((seq <= this.#readTold && !this.state.chat?.membership.markedUnread) || seq < 1) return;
    this.#readTold = seq;
    this.host.note({ read: [this.id, seq] });
    // What did not arrive is told with the next one. A position only moves forward.
    this.host.act('readMessage', { roomId: this.id, seq }).catch(() => (this.#readTold = 0));
  }

  /** Loads the page of messages before those that are loaded, or the newest page. */
  async older(): Promise<void> {
    const { first, hasOlder } = this.state;
    if (first === Infinity) return this.latest();
    if (hasOlder) await this.#load(`before=${first}`);
  }

  /** After `jumpTo`: loads the page of messages after those that are loaded. */
  async newer(): Promise<void> {
    const { last } = this.state;
    if (last < Infinity) await this.#load(`after=${last}`);
  }

  /** Loads the newest page if it is not loaded, and leaves where `jumpTo` had gone. */
  async latest(): Promise<void> {
    const { first, last } = this.state;
    if (first === Infinity || last < Infinity) await this.#load('', true);
  }

  /** Loads the messages around one, if it is not loaded. */
  async jumpTo(messageId: string): Promise<void> {
    if (!this.#find(messageId)) await this.#load(`around=${seqOf(messageId)}`, true);
  }

  /** One load at a time: whoever asks for the same twice by scrolling gets it once. */
  #load(query: string, fresh?: boolean): Promise<void> {
    const page = () => this.host.get<History>(`/chats/${this.id}?limit=${PAGE}&${query}`);
    return (this.#loading ??= this.host
      .known(this.state)
      .then(() => this.state.load(page, fresh))
      .finally(() => {
        this.#loading = undefined;
        this.touch();
      }));
  }

  async loadMembers(): Promise<void> {
    this.#peopleWanted = true;
    const asked = ++this.#peopleAsked;
    const people: Member[] = [];
    let after: string | null = '';
    do {
      const query: string = after && `?after=${encodeURIComponent(after)}`;
      const { members, next }: { members: Member[]; next: string | null } = await this.host.get(`/api/rooms/${this.id}/members${query}`);
      people.push(...members);
      after = next;
    } while (after);
    if (asked !== this.#peopleAsked) return;
    this.#people = people;
    touch(this.members);
  }

  // --- Typing -------------------------------------------------------------------------------------------------------

  /** The user is writing: call it at each key. The others see it for a few seconds. */
  startTyping(): void {
    const now = performance.now();
    if (now - this.#saidTyping < TYPING_AGAIN) return;
    this.#saidTyping = now;
    this.host.tell('typing', { roomId: this.id });
  }

  /** The user has stopped writing. Sending says so too. */
  stopTyping(): void {
    if (this.#saidTyping === -Infinity) return;
    this.#saidTyping = -Infinity;
    this.host.tell('stopTyping', { roomId: this.id });
  }

  // --- For the client -----------------------------------------------------------------------------------------------

  /** @internal */
  hearTyping(who: Typing, on: boolean): void {
    const { userId } = who;
    clearTimeout(this.#typers.get(userId)?.timer);
    this.#typers.delete(userId);
    if (on && userId !== this.host.me.userId) {
      this.#typers.set(userId, { ...who, timer: setTimeout(() => this.hearTyping(who, false), TYPING_ENDS) });
    }
    touch(this.typing);
  }

  /** @internal */
  hearRead(userId: string, seq: number): void {
    if (userId !== this.host.me.userId) this.#readers[userId] = Math.max(seq, this.#readers[userId] ?? 0);
    touch(this.reads);
  }

  /** @internal Somebody came or went, or that may be. */
  peopleChanged(): void {
    if (this.#peopleWanted) this.loadMembers().catch(ignore);
  }

  /** @internal */
  hearPresence(userId: string, online: boolean): void {
    if (!this.#people.some(member => member.userId === userId)) return;
    this.#people = this.#people.map(member => (member.userId === userId ? { ...member, online } : member));
    touch(this.members);
  }

  /** @internal */
  touch(): void {
    touch(this.chat);
    touch(this.messages);
  }

  /** @internal Ends what would run on. */
  stop(): void {
    for (const { timer } of this.#typers.values()) clearTimeout(timer);
    this.#typers.clear();
  }

  #show(): Messages {
    const { last, hasOlder, sent } = this.state;
    const { userId, name } = this.host.me;
    const items = this.state.sorted.map((message): Shown => {
      const overlays = this.#overlays.get(message.messageId);
      let shown = message;
      for (const overlay of overlays?.values() ?? []) shown = overlay(shown);
      const own = message.userId === userId && message.clientMessageId;
      return { ...shown, key: own || message.messageId, status: overlays ? 'changing' : 'sent' };
    });
    for (const { clientMessageId, failure, ...item } of this.host.outbox.of(this.id)) {
      if (sent.has(clientMessageId)) continue;
      const kind = item.file ? 'file' : 'text';
      const status = failure ? 'failed' : 'sending';
      items.push({ ...UNSENT, ...item, kind, userId, name, clientMessageId, messageId: clientMessageId, key: clientMessageId, status, failure });
    }
    return { items, hasOlder, hasNewer: last < Infinity };
  }
}
