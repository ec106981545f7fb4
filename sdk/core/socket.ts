import type { Api } from './api.js';
import type { Failure } from './errors.js';
import { delay, failed, failureOf, ignore, isSignedOut, network } from './errors.js';
import type { Sock } from './platform.js';
import { Questions } from './questions.js';
import type { Pushes } from '../types/index.js';

/**
 * `offline`: the browser has no network, or nobody is signed in. `elsewhere`: the user has opened more sockets than the
 * service allows, so that it has closed this one. It comes back with `connect` only: by itself, it would close another.
 */
export type Status = 'offline' | 'connecting' | 'open' | 'elsewhere';

interface Frame {
  event?: string;
  data?: unknown;
  ref?: string;
}

const PING = 60_000;
const PATIENCE = 15_000;

/** One socket that comes back: ticket, growing waits, ping, and answers by `ref`. */
export class Socket {
  status: Status = 'offline';
  #socket: Sock | undefined;
  #questions = new Questions();
  #ref = 0;
  #tries = 0;
  #round = 0;
  #again: ReturnType<typeof setTimeout> | undefined;
  #pings: ReturnType<typeof setInterval> | undefined;
  #stopped = false;

  constructor(
    private api: Api,
    private url: string,
    private on: { status(status: Status): void; push(event: string, data: unknown): void; revoked(): void },
  ) {
    this.wake();
  }

  /** Connects now if it is not connected, or else finds out whether the connection still lives. */
  wake = (): void => {
    if (this.#stopped) return;
    if (this.status === 'open') return void this.ask('ping', undefined, 8000).catch(ignore);
    this.#tries = 0;
    if (!this.#socket) void this.#connect();
  };

  /** The network is gone: do not wait for a timeout. */
  sleep = (): void => this.#closed();

  async #connect(): Promise<void> {
    clearTimeout(this.#again);
    if (this.#stopped) return;
    if (!this.api.platform.online()) return this.#set('offline');
    const round = ++this.#round;
    this.#set('connecting');
    try {
      const { ticket } = await this.api.call<{ ticket: string }>('POST', '/api/ws-ticket');
      if (this.#stopped || round !== this.#round) return;
      const socket = (this.#socket = new this.api.platform.WebSocket(`${this.url}?ticket=${ticket}`));
      // A handshake that hangs.
      this.#again = setTimeout(() => this.#closed(), PATIENCE);
      socket.onopen = () => {
        if (socket !== this.#socket) return socket.close();
        clearTimeout(this.#again);
        this.#pings = setInterval(this.wake, PING);
        this.#set('open');
      };
      socket.onmessage = (message: { data: unknown }) => socket === this.#socket && this.#receive(JSON.parse(String(message.data)) as Frame);
      socket.onerror = ignore;
      socket.onclose = () => socket === this.#socket && this.#closed();
    } catch (error) {
      if (round !== this.#round) return;
      if (isSignedOut(error)) return this.#set('offline');
      this.#closed(failureOf(error));
    }
  }

  #closed(failure?: Failure, after?: number): void {
    this.#round++;
    clearInterval(this.#pings);
    clearTimeout(this.#again);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
    this.#questions.drop();
    if (this.#stopped) return;
    this.#set(this.api.platform.online() ? 'connecting' : 'offline');
    // The event `online` comes when there is a network again; the timer is for browsers that do not tell.
    this.#again = setTimeout(() => void this.#connect(), after ?? delay(this.#tries++, failure));
  }

  #set(status: Status): void {
    if (this.status === status) return;
    this.status = status;
    this.on.status(status);
  }

  #receive({ event, data, ref }: Frame): void {
    // Not when it opens: a server that takes sockets and closes them at once should not be asked without pause.
    this.#tries = 0;
    if (event === 'error') {
      const failure = data as Failure;
      this.#questions.answer(ref, undefined, failed(failure));
      // The service does not know this socket any more.
      if (failure.code === 'unauthenticated') this.#closed();
    } else if (this.#questions.answer(ref, data)) return;
    else if (event === 'sessionRevoked') this.on.revoked();
    // A frame without `event` is API Gateway's, about a frame that it does not name: that one will time out.
    else if (event) this.on.push(event, data);
    if (event !== 'closing') return;
    const closing = data as Pushes['closing'];
    this.#closed(undefined, closing.reason === 'serverRestart' ? closing.afterMs : undefined);
    if (closing.reconnect) return;
    clearTimeout(this.#again);
    this.#set('elsewhere');
  }

  /** Sends a frame that is not answered. */
  tell(event: string, data: unknown): void {
    if (this.status === 'open') this.#socket?.send(JSON.stringify({ event, data }));
  }

  ask<T>(event: string, data?: unknown, patience = PATIENCE): Promise<T> {
    if (this.status !== 'open') return Promise.reject(network());
    const ref = String(++this.#ref);
    this.#socket!.send(JSON.stringify({ event, data, ref }));
    // What does not even answer a ping is dead, whatever it says.
    return this.#questions.ask<T>(ref, patience, () => event === 'ping' && this.#closed());
  }

  stop(): void {
    this.#stopped = true;
    this.#closed();
    this.#set('offline');
  }
}
