/** A real server for the tests, with a database of its own, and what stands in for browsers. */
import { spawn, execFile } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createConnection } from 'mysql2/promise';
import { WebSocket } from 'ws';
import { createCoterie, memorySession } from '../core/index.js';
import type { Coterie, CoterieOptions, Observable, Platform, SessionStore } from '../core/index.js';
import type { Channel, Locks, Sock } from '../core/platform.js';

const binary = process.env['COTERIE'] ?? fileURLToPath(new URL('../../../target/debug/coterie', import.meta.url));

/** The address of a database server on which the tests may create databases. */
function databaseServer(): string {
  const url = process.env['TEST_DATABASE_URL'];
  if (!url) throw new Error('Set TEST_DATABASE_URL to a MySQL server on which the tests may create databases; sdk/README.md says how.');
  if (!existsSync(binary)) throw new Error(`There is no ${binary}. Build it, or set COTERIE.`);
  return url.replace(/\/$/, '');
}

const settings = {
  JWT_SECRET: 'a secret of the tests, of enough bytes',
  REFRESH_SECRET: 'another secret of the tests, of enough bytes',
  BCRYPT_COST: '4',
  SIGNUP_GRANTS: 'open',
  ...Object.fromEntries(
    ['CHAT_LIST', 'MESSAGE', 'READ', 'FRAME', 'TICKET', 'UPLOAD', 'PASSWORD', 'LOGIN', 'REGISTER', 'ROOM', 'ADD', 'ROOM_POSTS'].map(name => [`${name}_LIMIT`, '0']),
  ),
};

export class Server {
  #process: ChildProcess | undefined;

  private constructor(
    readonly url: string,
    private environment: NodeJS.ProcessEnv,
    private folder: string,
    private database: string,
  ) {}

  /** Starts a server on an empty database. */
  static async start(more: Record<string, string> = {}): Promise<Server> {
    const admin = databaseServer();
    const database = `coterie_sdk_${crypto.randomUUID().replaceAll('-', '')}`;
    const connection = await createConnection(admin);
    await connection.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4`);
    await connection.end();
    const folder = await mkdtemp(join(tmpdir(), 'coterie-sdk-'));
    const port = await freePort();
    const environment = { PATH: process.env['PATH'], ...settings, ...more, DATABASE_URL: `${admin}/${database}`, PORT: String(port) };
    await promisify(execFile)(binary, ['migrate'], { cwd: folder, env: environment });
    const server = new Server(`http://127.0.0.1:${port}`, environment, folder, database);
    await server.up();
    return server;
  }

  /** Starts the process, and waits until it serves. */
  async up(): Promise<void> {
    const child = (this.#process = spawn(binary, ['serve'], { cwd: this.folder, env: this.environment, stdio: ['ignore', 'pipe', 'pipe'] }));
    let log = '';
    await new Promise<void>((resolve, reject) => {
      const hear = (text: Buffer) => {
        log += text.toString();
        if (log.includes('serving http')) resolve();
      };
      child.stdout.on('data', hear);
      child.stderr.on('data', hear);
      child.on('exit', () => reject(new Error(`The server ended: ${log}`)));
    });
  }

  /** `kill -9`, or a stop that clients are told of. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#process!;
    this.#process = undefined;
    child.kill(signal);
    await once(child, 'exit');
  }

  async stop(): Promise<void> {
    if (this.#process) await this.kill();
    const connection = await createConnection(databaseServer());
    await connection.query(`DROP DATABASE ${this.database}`);
    await connection.end();
    await rm(this.folder, { recursive: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

/** What a test has opened, and closes at its end. */
export class Clients {
  #open: Coterie[] = [];

  constructor(private server: Server) {}

  /** Without locks each client is a browser of its own. */
  readonly platform: Partial<Platform> = { WebSocket: WebSocket, locks: undefined };

  add(options: Partial<CoterieOptions> = {}, session: SessionStore = memorySession()): Coterie {
    const { platform, ...others } = options;
    const client = createCoterie({ url: this.server.url, session, ...others, platform: { ...this.platform, ...platform } });
    this.#open.push(client);
    return client;
  }

  /** A client of a new user. */
  async user(userId = `u${crypto.randomUUID().slice(0, 8)}`, options: Partial<CoterieOptions> = {}, session?: SessionStore): Promise<Coterie> {
    const client = this.add(options, session);
    await client.register({ userId, name: userId, password: 'correct horse' });
    return client;
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.map(client => client.close()));
  }
}

export const me = (client: Coterie): string => client.user.snapshot()!.userId;

/** Resolves with the value once it is as wanted. */
export function until<T>(observable: Observable<T>, wanted: (value: T) => boolean, seconds = 30): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = { now: () => {} };
    const timer = setTimeout(() => {
      end.now();
      reject(new Error(`It did not come: ${wanted.toString()}; it is ${JSON.stringify(observable.snapshot())?.slice(0, 800)}`));
    }, seconds * 1000);
    end.now = observable.subscribe(value => {
      if (!wanted(value)) return;
      clearTimeout(timer);
      queueMicrotask(() => end.now());
      resolve(value);
    });
  });
}

export const open = (client: Coterie) => until(client.status, status => status === 'open');

/** Creates a group, and answers its id. */
export async function group(owner: Coterie, members: Coterie[], name = 'Hikers'): Promise<number> {
  const { group: room } = await owner.api('post', '/groups', { body: { name, members: members.map(me) } });
  return room.id;
}

/** The whole history, from the server. */
export async function history(client: Coterie, roomId: number) {
  const all = [];
  for (let after = 0, more = true; more; ) {
    const page = await client.api('get', '/chats/{chatId}', { path: { chatId: roomId }, query: { after, limit: 200 } });
    all.push(...page.messages);
    after = all.at(-1)?.seq ?? 0;
    more = page.hasMore;
  }
  return all;
}

/** Sends many messages through a socket as fast as it can. */
export async function flood({ url }: Server, token: string, roomId: number, count: number): Promise<void> {
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
  await once(socket, 'open');
  let left = count;
  await new Promise<void>((resolve, reject) => {
    socket.on('message', (data: Buffer) => {
      const { event } = JSON.parse(data.toString()) as { event: string };
      if (event === 'error') reject(new Error(data.toString()));
      if (event === 'ack' && --left === 0) resolve();
    });
    for (let i = 0; i < count; i++) socket.send(JSON.stringify({ event: 'sendMessage', data: { roomId, content: `missed ${i}` }, ref: i }));
  });
  socket.close();
}

/** A network that loses, doubles and delays what a server pushes, and breaks connections. */
export class Network {
  #sockets = new Set<WebSocket>();
  opened = 0;
  up = true;
  /** How many answers to messages get lost, and the connection with them. */
  loseAnswers = 0;
  events = new EventTarget();

  constructor(private fate: () => 'pass' | 'lose' | 'double' | 'late' = () => 'pass') {}

  get open(): number {
    return this.#sockets.size;
  }

  get platform(): Partial<Platform> {
    const { events } = this;
    return { WebSocket: this.#socket(), events, online: () => this.up };
  }

  #socket() {
    const sockets = this.#sockets;
    const fate = this.fate;
    const count = () => void this.opened++;
    const loses = (text: string) => text.includes('"ack"') && text.includes('"clientMessageId"') && this.loseAnswers > 0 && this.loseAnswers--;
    return class {
      onopen: (() => void) | null = null;
      onmessage: ((message: { data: string }) => void) | null = null;
      onclose: (() => void) | null = null;
      onerror = null;
      #ws: WebSocket;
      constructor(url: string) {
        const ws = (this.#ws = new WebSocket(url));
        let late: string | undefined;
        const pass = (data: string) => this.onmessage?.({ data });
        ws.onopen = () => {
          count();
          sockets.add(ws);
          this.onopen?.();
        };
        ws.onmessage = ({ data }) => {
          const text = (data as Buffer).toString();
          if (loses(text)) return ws.terminate();
          const will = text.includes('"ref"') ? 'pass' : fate();
          if (will === 'lose') return;
          if (will === 'late' && late === undefined) return void (late = text);
          pass(text);
          if (will === 'double') pass(text);
          if (late !== undefined) pass(late);
          late = undefined;
        };
        ws.onerror = () => {};
        ws.onclose = () => {
          sockets.delete(ws);
          this.onclose?.();
        };
      }
      send(data: string) {
        this.#ws.send(data);
      }
      close() {
        this.#ws.terminate();
      }
    } satisfies new (url: string) => Sock;
  }

  /** Breaks every connection. */
  break(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  offline(): void {
    this.up = false;
    this.events.dispatchEvent(new Event('offline'));
  }

  online(): void {
    this.up = true;
    this.events.dispatchEvent(new Event('online'));
  }
}

interface Waiter {
  tab: Tab;
  grant: () => void;
}

/** A browser: tabs that share a session, locks and channels. */
export class Browser {
  session = memorySession();
  #held = new Map<string, Waiter>();
  #queues = new Map<string, Waiter[]>();
  #channels = new Set<{ name: string; tab: Tab; hear(data: unknown): void }>();

  tab(network = new Network()): Tab {
    return new Tab(this, network);
  }

  locksOf(tab: Tab): Locks {
    return {
      request: <T>(name: string, { signal }: { signal?: AbortSignal }, held: () => Promise<T>) =>
        new Promise<T>((resolve, reject) => {
          const queue = this.#queues.get(name) ?? [];
          this.#queues.set(name, queue);
          const waiter: Waiter = {
            tab,
            grant: () => void held().then(resolve, reject).finally(() => this.#next(name, waiter)),
          };
          signal?.addEventListener('abort', () => {
            if (queue.includes(waiter)) queue.splice(queue.indexOf(waiter), 1);
            reject(new Error('AbortError'));
          });
          queue.push(waiter);
          setImmediate(() => this.#next(name));
        }),
    };
  }

  #next(name: string, done?: Waiter): void {
    if (done && this.#held.get(name) === done) this.#held.delete(name);
    const queue = this.#queues.get(name)!;
    const waiter = this.#held.has(name) ? undefined : queue.shift();
    if (!waiter) return;
    this.#held.set(name, waiter);
    waiter.grant();
  }

  channelsOf(tab: Tab): new (name: string) => Channel {
    const channels = this.#channels;
    return class {
      onmessage: ((event: never) => void) | null = null;
      #port;
      constructor(name: string) {
        this.#port = { name, tab, hear: (data: unknown) => void setImmediate(() => channels.has(this.#port) && this.onmessage?.({ data } as never)) };
        channels.add(this.#port);
      }
      postMessage(message: unknown) {
        if (!tab.dead) for (const port of channels) if (port !== this.#port && port.name === this.#port.name) port.hear(structuredClone(message));
      }
      close() {
        channels.delete(this.#port);
      }
    };
  }

  /** What the browser does when a tab is gone. */
  forget(tab: Tab): void {
    for (const port of [...this.#channels]) if (port.tab === tab) this.#channels.delete(port);
    for (const queue of this.#queues.values()) for (const waiter of queue.filter(w => w.tab === tab)) queue.splice(queue.indexOf(waiter), 1);
    for (const [name, waiter] of [...this.#held]) if (waiter.tab === tab) this.#next(name, waiter);
  }
}

export class Tab {
  dead = false;
  /** How often it asked for each path. */
  asked = new Map<string, number>();
  /** By how much its clock is wrong, in milliseconds. */
  skew = 0;

  constructor(
    private browser: Browser,
    readonly network: Network,
  ) {}

  get platform(): Partial<Platform> {
    return {
      ...this.network.platform,
      locks: this.browser.locksOf(this),
      BroadcastChannel: this.browser.channelsOf(this),
      now: () => Date.now() + this.skew,
      fetch: async (input, init) => {
        if (this.dead) throw new Error('This tab is closed.');
        const { pathname } = new URL(input as string);
        this.asked.set(pathname, (this.asked.get(pathname) ?? 0) + 1);
        return fetch(input, init);
      },
    };
  }

  /** The tab is closed without a word, as by a crash. */
  kill(): void {
    this.dead = true;
    this.network.up = false;
    this.network.break();
    this.browser.forget(this);
  }
}

/** A repeatable source of chance. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
