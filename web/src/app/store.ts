/** Small observables of the page's own, beside those of the SDK. */
import type { Failure, Observable } from 'coterie';
import { client } from './client.js';
import { failureOf } from './errors.js';

export class Store<T> implements Observable<T> {
  #listeners = new Set<(value: T) => void>();

  constructor(
    private value: T,
    private first?: () => void,
  ) {}

  snapshot = (): T => this.value;

  subscribe = (listener: (value: T) => void): (() => void) => {
    const own = (value: T) => listener(value);
    const isFirst = !this.#listeners.size;
    this.#listeners.add(own);
    if (isFirst) this.first?.();
    own(this.value);
    return () => void this.#listeners.delete(own);
  };

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  set(value: T): void {
    if (value === this.value) return;
    this.value = value;
    for (const listener of [...this.#listeners]) listener(value);
  }
}

export interface Loaded<T> {
  data: T | undefined;
  /** Why it could not be loaded. */
  failure: Failure | undefined;
}

/** Something of the user's that is read over REST, and read again when a push says that it has changed. */
export class Resource<T> extends Store<Loaded<T>> {
  #asked = 0;
  #stale = true;
  #loading = false;

  constructor(
    private load: () => Promise<T>,
    pushes: Parameters<typeof client.on>[0][] = [],
  ) {
    super({ data: undefined, failure: undefined }, () => {
      if (this.#stale || this.snapshot().failure) void this.changed();
    });
    for (const push of pushes) client.on(push, () => void this.changed());
    client.on('signedOut', () => {
      this.#asked++;
      this.#stale = true;
      this.set({ data: undefined, failure: undefined });
    });
    // Pushes may have been lost while there was no connection.
    client.status.subscribe(status => status === 'open' && void this.changed());
  }

  /** It may have changed: it is read again now, or when somebody looks. */
  async changed(): Promise<void> {
    this.#stale = true;
    // What changes often is read one time after the other.
    while (this.#stale && !this.#loading && this.watched && client.user.snapshot()) await this.#reload();
  }

  async #reload(): Promise<void> {
    const asked = ++this.#asked;
    this.#stale = false;
    this.#loading = true;
    try {
      const data = await this.load();
      if (asked === this.#asked) this.set({ data, failure: undefined });
    } catch (error) {
      if (asked === this.#asked) this.set({ data: this.snapshot().data, failure: failureOf(error) });
    } finally {
      this.#loading = false;
    }
  }
}
