/** The parts of a browser that the client uses. In Node 20 `WebSocket` has to be given, for example that of `ws`. */
export interface Platform {
  fetch: typeof fetch;
  WebSocket: new (url: string) => Sock;
  /** With both, the tabs of a browser share a socket. */
  locks?: Locks | undefined;
  BroadcastChannel?: (new (name: string) => Channel) | undefined;
  /** Where `online`, `offline` and `visibilitychange` happen. */
  events?: Pick<EventTarget, 'addEventListener' | 'removeEventListener'> | undefined;
  online: () => boolean;
  /** The clock, in milliseconds. It may be wrong, and it may jump. */
  now: () => number;
}

/** What the client uses of a `WebSocket`. */
export interface Sock {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(): void;
}

/** What the client uses of `navigator.locks`. */
export interface Locks {
  request<T>(name: string, options: { signal?: AbortSignal }, held: () => Promise<T>): Promise<T>;
}

/** What the client uses of a `BroadcastChannel`. */
export interface Channel {
  onmessage: ((event: never) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

export function platform(given: Partial<Platform> = {}): Platform {
  const g = globalThis as unknown as Platform & { navigator?: { locks?: Locks; onLine?: boolean }; addEventListener?: unknown };
  return {
    fetch: (...request) => g.fetch(...request),
    WebSocket: g.WebSocket,
    locks: g.navigator?.locks,
    BroadcastChannel: g.BroadcastChannel,
    events: g.addEventListener ? (g as unknown as EventTarget) : undefined,
    online: () => g.navigator?.onLine !== false,
    now: Date.now,
    ...given,
  };
}
