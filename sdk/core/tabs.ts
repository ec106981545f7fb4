import type { Failure } from './errors.js';
import { failed, failureOf, ignore } from './errors.js';
import type { Channel, Platform } from './platform.js';
import { Questions } from './questions.js';
import type { Socket, Status } from './socket.js';

/** What tabs of one session tell each other. */
type Note =
  | { t: 'hello' }
  | { t: 'wake' }
  | { t: 'status'; status: Status; lead?: boolean }
  | { t: 'push'; event: string; data: unknown }
  | { t: 'tell'; event: string; data: unknown }
  | { t: 'ask'; id: string; event: string; data: unknown }
  | { t: 'answer'; id: string; data?: unknown; failure?: Failure }
  | { t: 'note'; data: unknown };

const PATIENCE = 20_000;

/**
 * The tabs of a browser with one session. One of them leads: it holds a lock, and the socket. The others ask through it,
 * and it passes on to them what the socket says. When it ends, the lock goes to the next.
 */
export class Tabs {
  leads = false;
  status: Status = 'connecting';
  #channel: Channel | undefined;
  #socket: Socket | undefined;
  #questions = new Questions();
  #end = new AbortController();
  #release: (() => void) | undefined;

  constructor(
    scope: string,
    { locks, BroadcastChannel }: Platform,
    private connect: (on: { status(status: Status): void; push(event: string, data: unknown): void }) => Socket,
    private on: {
      status(status: Status): void;
      push(event: string, data: unknown): void;
      /** Another tab says something that is not the socket's. */
      note(data: unknown): void;
      /** This tab leads from now on. */
      lead(): void;
      /** A tab has come that knows nothing yet, or another one leads now. */
      greet(): void;
    },
  ) {
    if (!locks || !BroadcastChannel) {
      queueMicrotask(() => this.#lead());
      return;
    }
    this.#channel = new BroadcastChannel(scope);
    this.#channel.onmessage = (message: { data: Note }) => this.#hear(message.data);
    this.#post({ t: 'hello' });
    const held = () =>
      new Promise<void>(release => {
        this.#release = release;
        this.#lead();
      });
    // It rejects when this tab stops waiting for its turn.
    locks.request(scope, { signal: this.#end.signal }, held).catch(ignore);
  }

  #post(note: Note): void {
    this.#channel?.postMessage(note);
  }

  #lead(): void {
    if (this.#end.signal.aborted) return this.#release?.();
    this.leads = true;
    // Whoever led before does not answer any more.
    this.#questions.drop();
    this.on.lead();
    this.#socket = this.connect({
      status: status => this.#setStatus(status),
      push: (event, data) => {
        this.#post({ t: 'push', event, data });
        this.on.push(event, data);
      },
    });
    this.#setStatus(this.#socket.status, true);
  }

  #setStatus(status: Status, lead = false): void {
    this.#post({ t: 'status', status, lead });
    this.status = status;
    this.on.status(status);
  }

  #hear(note: Note): void {
    if (note.t === 'push') this.on.push(note.event, note.data);
    else if (note.t === 'note') this.on.note(note.data);
    else if (note.t === 'status') {
      if (note.lead) {
        this.#questions.drop();
        this.on.greet();
      }
      this.status = note.status;
      this.on.status(note.status);
    } else if (note.t === 'answer') {
      this.#questions.answer(note.id, note.data, note.failure && failed(note.failure));
    } else if (!this.leads) return;
    else if (note.t === 'hello') {
      this.#post({ t: 'status', status: this.status });
      this.on.greet();
    } else if (note.t === 'wake') this.#socket?.wake();
    else if (note.t === 'tell') this.#socket?.tell(note.event, note.data);
    else {
      const { id } = note;
      this.#socket!.ask(note.event, note.data).then(
        data => this.#post({ t: 'answer', id, data }),
        (error: unknown) => this.#post({ t: 'answer', id, failure: failureOf(error) }),
      );
    }
  }

  /** Sends a frame through the tab that leads, and gets its answer. */
  ask<T>(event: string, data?: unknown): Promise<T> {
    if (this.#socket) return this.#socket.ask<T>(event, data);
    const id = crypto.randomUUID();
    this.#post({ t: 'ask', id, event, data });
    return this.#questions.ask<T>(id, PATIENCE);
  }

  tell(event: string, data: unknown): void {
    if (this.#socket) this.#socket.tell(event, data);
    else this.#post({ t: 'tell', event, data });
  }

  /** Tells the other tabs something that is not the socket's. */
  note(data: unknown): void {
    this.#post({ t: 'note', data });
  }

  /** Somebody looks at this tab. */
  wake(): void {
    if (this.#socket) this.#socket.wake();
    else this.#post({ t: 'wake' });
  }

  sleep(): void {
    this.#socket?.sleep();
  }

  stop(): void {
    this.#end.abort();
    this.#questions.drop();
    this.#socket?.stop();
    this.#channel?.close();
    this.leads = false;
    this.#release?.();
  }
}
