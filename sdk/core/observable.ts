/**
 * Something that changes and can be watched. `subscribe` calls the listener at once and after each change, and returns
 * what ends it. `snapshot` is the same object until the next change. Both can be passed on without their owner:
 * `useSyncExternalStore(o.subscribe, o.snapshot)`.
 */
export interface Observable<T> {
  subscribe(this: void, listener: (value: T) => void): () => void;
  snapshot(this: void): T;
}

/** An observable that computes its value when somebody asks after a change. */
export class Value<T> implements Observable<T> {
  #value: T | undefined;
  #fresh = false;
  #queued = false;
  #listeners = new Set<(value: T) => void>();

  constructor(private compute: () => T, private first?: () => void) {}

  snapshot = (): T => {
    if (!this.#fresh) {
      this.#value = this.compute();
      this.#fresh = true;
    }
    return this.#value as T;
  };

  subscribe = (listener: (value: T) => void): (() => void) => {
    const own = (value: T) => listener(value);
    if (!this.#listeners.size) this.first?.();
    this.#listeners.add(own);
    own(this.snapshot());
    return () => void this.#listeners.delete(own);
  };

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Says that the value has changed. Several changes in a row notify listeners once. */
  touch(): void {
    this.#fresh = false;
    if (this.#queued || !this.watched) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      const value = this.snapshot();
      for (const listener of [...this.#listeners]) listener(value);
    });
  }
}

export const touch = (observable: Observable<unknown>): void => (observable as Value<unknown>).touch();
