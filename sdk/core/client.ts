import { Api } from './api.js';
import { delay, failureOf, ignore, isPassing } from './errors.js';
import type { Failure } from './errors.js';
import type { Observable } from './observable.js';
import { Value, touch } from './observable.js';
import { Outbox } from './outbox.js';
import type { Persist } from './persist.js';
import type { Channel, Platform } from './platform.js';
import { platform } from './platform.js';
import type { Host } from './room.js';
import { Room } from './room.js';
import type { Session, SessionStore } from './session.js';
import { Socket } from './socket.js';
import type { Status } from './socket.js';
import type { Numbered } from './state.js';
import { RoomState } from './state.js';
import { Tabs } from './tabs.js';
import type { Answer, Attachment, Change, Changes, Chat, Message, Method, Options, OwnProfile, paths, Pushes, Registration } from '../types/index.js';

export interface CoterieOptions {
  /** Where REST is, such as `https://chat.example.com`. */
  url: string;
  /** Where the WebSocket is: in AWS the stack's output `WebSocketUrl`. Without it, it is at `url`. */
  webSocketUrl?: string;
  /** Where the session is kept: `localSession()`, `memorySession()` or your own. */
  session: SessionStore;
  /** Keeps rooms, and messages that are not sent, until the next start: `indexedDb()` of `coterie/indexeddb`. */
  persist?: Persist;
  /** Other implementations of what a browser has. In Node 20: `{ WebSocket }` of the package `ws`. */
  platform?: Partial<Platform>;
}

/** What `on` tells of: the pushes of the service as they come, and a few of the client's own. */
export interface Happenings extends Pushes {
  /** A message of somebody else is new. It comes once for each, however this client heard of it. */
  message: Message;
  /** The session has ended: by `signOut`, in another tab, by the service. */
  signedOut: undefined;
}

type Login = { password: string; deviceId?: string } & (
  | { identifier: string }
  | { userId: string }
  | { username: string }
  | { email: string }
  | { phone: string }
);

const REORDER = 200;
const ROOMS = 100;
const MOST = 5;
const EVERY = 180_000;
const URL_GOOD = 240_000;

export function createCoterie(options: CoterieOptions): Coterie {
  return new Coterie(options);
}

/** What lives as long as a session. */
interface Run {
  id: string;
  me: OwnProfile;
  tabs: Tabs;
  outbox: Outbox;
  states: Map<number, RoomState>;
  rooms: Map<number, Room>;
}

/** A client of the service. */
export class Coterie {
  /** Who is signed in. */
  readonly user: Observable<OwnProfile | null>;
  /** Whether there is a connection. */
  readonly status: Observable<Status>;
  /** The rooms of the user, the newest activity first. */
  readonly rooms: Observable<Chat[]>;
  /** Resolves when what was kept is there, so that a page does not flicker. */
  ready: Promise<void> = Promise.resolve();

  #platform: Platform;
  #api: Api;
  #socketUrl: string;
  #persist: Persist | undefined;
  #run: Run | undefined;
  #closing = new AbortController();
  #doors: Channel | undefined;
  #listeners = new Map<string, Set<(data: never) => void>>();
  /** What ends a wait before its time, and whether a new connection does. */
  #timers = new Map<() => void, boolean>();
  #every: ReturnType<typeof setInterval>;
  #dirty = new Set<RoomState>();
  #syncing = false;
  #listing: Promise<void> | undefined;
  #listAgain = false;
  #urls = new Map<string, Promise<{ url: string; thumbnailUrl: string | null }>>();

  constructor({ url, webSocketUrl, session, persist, platform: given }: CoterieOptions) {
    this.#platform = platform(given);
    const base = url.replace(/\/+$/, '');
    this.#socketUrl = webSocketUrl ?? `${base.replace(/^http/, 'ws')}/`;
    this.#persist = persist;
    this.#api = new Api(base, session, this.#platform, () => {
      this.#doors?.postMessage(null);
      this.#sessionChanged();
    });
    this.user = new Value(() => this.#api.store.get()?.user ?? null);
    this.status = new Value<Status>(() => this.#run?.tabs.status ?? 'offline');
    this.rooms = new Value(() => this.#list());
    const { BroadcastChannel, events } = this.#platform;
    if (BroadcastChannel) {
      this.#doors = new BroadcastChannel(`coterie-${base}`);
      this.#doors.onmessage = () => this.#sessionChanged();
    }
    for (const name of ['online', 'offline', 'visibilitychange']) events?.addEventListener(name, this.#happened, this.#closing);
    this.#every = setInterval(() => void this.#resume(), EVERY);
    this.#sessionChanged();
  }

  #happened = ({ type }: Event): void => {
    if (type === 'offline') this.#run?.tabs.sleep();
    else if (!globalThis.document?.hidden && this.status.snapshot() !== 'elsewhere') this.connect();
  };

  // --- Accounts -----------------------------------------------------------------------------------------------------

  signIn(login: Login): Promise<OwnProfile> {
    return this.#api.sign('login', login);
  }

  /** Registers a user, and signs in. */
  register(registration: Registration): Promise<OwnProfile> {
    return this.#api.sign('register', registration);
  }

  /** Ends the session, or all of the user's, and forgets what was kept. Without a connection the session ends here alone. */
  async signOut({ everywhere = false } = {}): Promise<void> {
    const user = this.#api.store.get()?.user;
    await this.#api.call('POST', '/api/auth/logout', { everywhere }).catch((error: unknown) => {
      if (everywhere) throw error;
    });
    this.#api.keep(null);
    if (user) await this.#persist?.clear(user.userId);
  }

  /** Connects now: after the status `elsewhere`, when the user asks for it. */
  connect(): void {
    this.#run?.tabs.wake();
  }

  /** Ends this client: its socket goes to another tab, and nothing runs any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#every);
    this.#stop();
    this.#doors?.close();
    await this.#persist?.flush();
  }

  // --- What one can do ----------------------------------------------------------------------------------------------

  /** A room by its id. It is the same object each time. */
  room(id: number): Room {
    const run = this.#signedIn();
    let room = run.rooms.get(id);
    if (!room) run.rooms.set(id, (room = new Room(id, this.#state(run, id), this.#host(run))));
    return room;
  }

  /** The chat with another user: `find` answers its room, if there is one, and `send` makes one with the first message. */
  direct(userId: string): { find(): Promise<Room | undefined>; send(content: string): Promise<Room> } {
    return {
      find: async () => {
        this.#signedIn();
        await this.refresh();
        const chat = this.#list().find(({ peer }) => peer?.userId === userId);
        return chat && this.room(chat.chatId);
      },
      send: async content => {
        const clientMessageId = crypto.randomUUID();
        const { chatId, message } = await this.#insist(
          () => this.#api.call<{ chatId: number; message: Message }>('POST', '/chats/send-message', { userId, content, clientMessageId }),
          MOST,
        );
        await this.refresh();
        this.#tell({ change: { roomId: chatId, seq: message.updatedSeq, message } });
        return this.room(chatId);
      },
    };
  }

  /**
   * A URL of a file that needs no token, for an `<img>` or a link. It is good for a minute at least. For an image that is
   * shown with a `width` of at most 480 pixels, it is that of the thumbnail, if there is one.
   */
  async fileUrl({ uploadId, url }: Attachment, { width = 481 }: { width?: number } = {}): Promise<string> {
    let signed = this.#urls.get(uploadId);
    if (!signed) {
      const forget = () => this.#urls.delete(uploadId);
      this.#urls.set(uploadId, (signed = this.#api.call('GET', `${url}?as=json`)));
      signed.catch(forget);
      this.#later(URL_GOOD, forget);
    }
    const urls = await signed;
    return (width < 481 && urls.thumbnailUrl) || urls.url;
  }

  /** Calls `listener` whenever something happens. Answers what ends it. */
  on<E extends keyof Happenings>(event: E, listener: (data: Happenings[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * Asks any route of the REST API, with the types of its documentation:
   * `c.api('post', '/groups', { body: { name: 'Hikers', members: ['bob'] } })`.
   */
  api<P extends keyof paths, M extends Method<P>>(method: M, path: P, options?: Options<paths[P][M]>): Promise<Answer<paths[P][M]>> {
    const { path: values = {}, query = {}, body } = ((options as unknown) ?? {}) as { path?: object; query?: object; body?: unknown };
    const given = Object.entries(query).filter(([, value]) => value !== undefined) as [string, string][];
    let target: string = path;
    for (const [name, value] of Object.entries(values)) target = target.replace(`{${name}}`, encodeURIComponent(String(value)));
    return this.#api.call(String(method).toUpperCase(), given.length ? `${target}?${new URLSearchParams(given)}` : target, body);
  }

  // --- The session --------------------------------------------------------------------------------------------------

  #signedIn(): Run {
    this.#api.session();
    // Another tab has just signed in.
    if (!this.#run) this.#sessionChanged();
    return this.#run!;
  }

  /** Somebody signed in or out, here or in another tab, or the tokens are new. */
  #sessionChanged(): void {
    if (this.#closing.signal.aborted) return;
    const session = this.#api.store.get();
    touch(this.user);
    if (session?.id === this.#run?.id) return;
    const before = this.#run;
    this.#stop();
    if (session) this.#start(session);
    touch(this.rooms);
    touch(this.status);
    if (before && !session) this.#emit('signedOut', undefined);
  }

  #start({ id, user: me }: Session): void {
    let run: Run | undefined = undefined;
    const outbox = new Outbox(this.#api, {
      ready: () => !!run?.tabs.leads && run.tabs.status === 'open',
      ask: (event, data) => this.#signedIn().tabs.ask(event, data),
      sent: change => this.#tell({ change }),
      changed: roomId => run?.rooms.get(roomId)?.touch(),
      note: note => run?.tabs.note(note),
      wait: (tries, failure) => this.#wait(tries, failure),
      keep: (key, item) => this.#persist?.item(key, item),
    });
    const on = {
      push: (event: string, data: unknown) => this.#push(event, data),
      status: (status: Status) => {
        touch(this.status);
        if (status !== 'open') return;
        for (const [end, wakes] of [...this.#timers]) if (wakes) end();
        void this.#resume();
        outbox.flush();
      },
    };
    const tabs = new Tabs(
      `coterie-${id}`,
      this.#platform,
      to => new Socket(this.#api, this.#socketUrl, { ...to, revoked: () => this.#api.store.get()?.id === id && this.#api.keep(null) }),
      { ...on, note: note => this.#note(note), lead: () => outbox.flush(), greet: () => outbox.tellAll() },
    );
    this.#run = run = { id, me, tabs, outbox, states: new Map(), rooms: new Map() };
    const current = run;
    this.ready = Promise.resolve(
      this.#persist?.open(me.userId, {
        item: (itemId, add) => void outbox.hear({ id: itemId, add }),
        state: roomId => this.#state(current, roomId),
        changed: state => this.#changed(state),
      }),
    ).catch(ignore);
  }

  #stop(): void {
    const run = this.#run;
    this.#run = undefined;
    // Everyone who waits then sees that this run is over.
    for (const end of [...this.#timers.keys()]) end();
    this.#dirty.clear();
    this.#urls.clear();
    this.#listing = undefined;
    this.#syncing = this.#listAgain = false;
    run?.outbox.stop();
    run?.tabs.stop();
    for (const room of run?.rooms.values() ?? []) room.stop();
  }

  #later(ms: number, then: () => void, wakes = false): void {
    const end = () => {
      clearTimeout(timer);
      this.#timers.delete(end);
      then();
    };
    const timer = setTimeout(end, ms);
    this.#timers.set(end, wakes);
  }

  /** Waits before the next try: as long as the service asks for, or until there is a connection again. */
  #wait(tries: number, failure: Failure): Promise<void> {
    return new Promise(resolve => this.#later(delay(tries, failure), resolve, failure.code !== 'rate_limited'));
  }

  /** Does something that can be repeated, again while it may succeed. */
  async #insist<T>(act: () => Promise<T>, most = Infinity): Promise<T> {
    const run = this.#run;
    for (let tries = 0; ; tries++) {
      try {
        return await act();
      } catch (error) {
        const failure = failureOf(error);
        if (tries === most || run !== this.#run || !isPassing(failure)) throw error;
        await this.#wait(tries, failure);
      }
    }
  }

  // --- What comes ---------------------------------------------------------------------------------------------------

  #state(run: Run, id: number): RoomState {
    let state = run.states.get(id);
    if (!state) run.states.set(id, (state = new RoomState(id, run.me.userId, message => this.#emit('message', message))));
    return state;
  }

  #changed(state: RoomState): void {
    if (state.doubtful) void this.refresh();
    const run = this.#run;
    run?.rooms.get(state.id)?.touch();
    touch(this.rooms);
    if (run?.tabs.leads) this.#persist?.room(state);
  }

  #list(): Chat[] {
    const chats = [...(this.#run?.states.values() ?? [])].flatMap(state => state.shown ?? []);
    const time = ({ lastMessage, room }: Chat) => lastMessage?.createdAt ?? room.createdAt;
    return chats.sort((a, b) => time(b).localeCompare(time(a)) || b.chatId - a.chatId);
  }

  #emit<E extends keyof Happenings>(event: E, data: Happenings[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) (listener as (data: Happenings[E]) => void)(data);
  }

  #push(event: string, data: unknown): void {
    const run = this.#run;
    if (!run) return;
    const d = data as Numbered & { roomId?: number; name: string; userId: string; readSeq: number; online: boolean; group?: { id: number } };
    const state = d.roomId ? this.#state(run, d.roomId) : undefined;
    const room = run.rooms.get(d.roomId!);
    switch (event) {
      case 'typing':
      case 'stopTyping':
        room?.hearTyping({ userId: d.userId, name: d.name }, event === 'typing');
        break;
      case 'messageRead':
        if (d.userId === run.me.userId) state!.readTo(d.readSeq);
        room?.hearRead(d.userId, d.readSeq);
        this.#changed(state!);
        break;
      case 'presence':
        for (const each of run.rooms.values()) each.hearPresence(d.userId, d.online);
        break;
      case 'groupCreated':
      case 'addedToGroup':
      case 'membershipUpdated':
        void this.refresh();
        break;
      case 'roomDeleted':
      case 'removedFromRoom':
        this.#forget(state!);
        break;
      default:
        if (event === 'userLeft' && d.userId === run.me.userId) this.#forget(state!);
        else if (state && d.seq !== undefined) {
          this.#take(state, d);
          if (event === 'userJoined' || event === 'userLeft') room?.peopleChanged();
          if (d.message?.seq === d.seq) room?.hearTyping(d.message, false);
        }
    }
    this.#emit(event as keyof Pushes, data as never);
  }

  /** What this tab did has its answer here. The socket's other tabs get no push of it, so they are told. */
  #tell(note: Parameters<Host['note']>[0]): void {
    this.#note(note);
    this.#run?.tabs.note(note);
  }

  #note(note: unknown): void {
    const run = this.#run;
    if (!run) return;
    const { change, read } = note as Partial<{ change: Change; read: [number, number] }>;
    if (change) this.#take(this.#state(run, change.roomId), change);
    else if (read) {
      const state = this.#state(run, read[0]);
      state.readTo(read[1]);
      this.#changed(state);
    } else run.outbox.hear(note as Parameters<Outbox['hear']>[0]);
  }

  #take(state: RoomState, change: Numbered): void {
    state.take(change);
    this.#changed(state);
    // A room that this client has not heard of.
    if (!state.chat) void this.refresh();
    // What was overtaken comes right behind, most of the time.
    else if (state.behind) this.#later(state.hopeless ? 0 : REORDER, () => state.behind && this.#sync(state));
  }

  #forget(state: RoomState): void {
    state.forget();
    this.#dirty.delete(state);
    this.#changed(state);
    // A list that was asked before would bring it back; and who was let in again meanwhile finds it there.
    void this.refresh();
  }

  // --- Catching up --------------------------------------------------------------------------------------------------

  /** There is a connection again, or some minutes have passed: pushes may be lost. */
  async #resume(): Promise<void> {
    const run = this.#run;
    if (!run) return;
    await this.refresh();
    if (run !== this.#run) return;
    for (const room of run.rooms.values()) room.peopleChanged();
  }

  /**
   * Reads the list of chats. The client does it by itself; a page does after it has made a room with `api`, of which no push
   * tells. When one is under way, another one follows: it may not know yet what this was asked for.
   */
  refresh(): Promise<void> {
    this.#listAgain = true;
    return (this.#listing ??= this.#readLists());
  }

  async #readLists(): Promise<void> {
    const run = this.#run;
    while (run && run === this.#run && this.#listAgain) {
      await this.#insist(() => {
        this.#listAgain = false;
        return this.#readList(run);
      }).catch(ignore);
    }
    if (run === this.#run) this.#listing = undefined;
  }

  /** All pages of `GET /chats`. (`GET /api/bootstrap` could answer them with everything else.) */
  async #readList(run: Run): Promise<void> {
    const unseen = new Set([...run.states.values()].filter(state => state.chat));
    const rows: Chat[] = [];
    for (let page = 1, pages = 1; page <= pages; page++) {
      const list = await this.#api.call<{ data: Chat[]; pages: number }>('GET', `/chats?pageSize=100&page=${page}`);
      if (run !== this.#run) return;
      pages = list.pages;
      rows.push(...list.data);
    }
    // Somebody left a room while the list was read: it is read again.
    if (this.#listAgain) return;
    for (const chat of rows) {
      const state = this.#state(run, chat.chatId);
      unseen.delete(state);
      state.list(chat);
      if (state.behind) this.#sync(state);
      this.#changed(state);
    }
    // A room that moved between two pages is not gone. `sync` knows.
    for (const state of unseen) this.#sync(state);
  }

  #sync(state: RoomState): void {
    this.#dirty.add(state);
    if (!this.#syncing) void this.#syncAll();
  }

  /** Asks `sync` for the rooms that need it, until none does. While a room is asked for, its pushes are held. */
  async #syncAll(): Promise<void> {
    const run = this.#run;
    this.#syncing = true;
    while (run === this.#run && this.#dirty.size) await this.#insist(() => this.#syncSome(run)).catch(ignore);
    if (run === this.#run) this.#syncing = false;
  }

  async #syncSome(run: Run | undefined): Promise<void> {
    const batch = [...this.#dirty].slice(0, ROOMS);
    const cursors = Object.fromEntries(batch.map(state => [state.id, state.syncBegins()]));
    for (const state of batch) this.#dirty.delete(state);
    try {
      const { rooms } = await this.#api.call<Changes>('POST', '/api/sync', { rooms: cursors });
      if (run !== this.#run) return;
      for (const state of batch) {
        const page = rooms[state.id];
        if (!page || 'gone' in page) this.#forget(state);
        else if (state.syncPage(page)) this.#dirty.add(state);
        this.#changed(state);
      }
    } catch (error) {
      for (const state of batch) {
        state.syncEnds();
        if (run === this.#run && isPassing(failureOf(error))) this.#dirty.add(state);
      }
      throw error;
    }
  }

  // --- What is done -------------------------------------------------------------------------------------------------

  #host({ me, tabs, outbox }: Run): Host {
    return {
      me,
      outbox,
      known: async state => {
        if (!state.chat) await (this.#listing ?? this.refresh());
      },
      get: path => this.#api.call('GET', path),
      act: (event, data) => this.#insist(() => tabs.ask(event, data), MOST),
      tell: (event, data) => tabs.tell(event, data),
      note: note => this.#tell(note),
    };
  }
}
