import type { Failure } from './errors.js';
import { failed, isSignedOut, network } from './errors.js';
import type { Platform } from './platform.js';
import type { Session, SessionStore } from './session.js';
import type { OwnProfile } from '../types/index.js';

/** What is used of a `Response`. */
type Answered = Pick<Response, 'ok' | 'status' | 'text'> & { headers: Pick<Headers, 'get'> };

interface Tokens {
  accessToken: string;
  refreshToken: string;
  expiresIn: number;
}

/** REST: requests with the token of the session, and its refresh. */
export class Api {
  #refreshing: Promise<string> | undefined;

  constructor(
    readonly base: string,
    readonly store: SessionStore,
    readonly platform: Platform,
    /** The session was changed by this tab. */
    readonly changed: () => void,
  ) {}

  keep(session: Session | null): void {
    this.store.set(session);
    this.changed();
  }

  async sign(route: 'login' | 'register', body: unknown): Promise<OwnProfile> {
    const { user, ...tokens } = await this.raw<Tokens & { user: OwnProfile }>('POST', `/api/auth/${route}`, body);
    this.keep({ id: crypto.randomUUID(), user, ...this.#kept(tokens) });
    return user;
  }

  #kept({ accessToken, refreshToken, expiresIn }: Tokens) {
    return { accessToken, refreshToken, expiresAt: this.platform.now() + expiresIn * 1000 };
  }

  session(): Session {
    const session = this.store.get();
    if (!session) throw failed({ code: 'unauthenticated', status: 401, detail: 'Sign in.' });
    return session;
  }

  /** A token that is good for another half minute by the clock here, and is not the one that was `refused`. */
  async token(refused?: string): Promise<string> {
    const { accessToken, expiresAt } = this.session();
    if (accessToken !== refused && expiresAt - this.platform.now() > 30_000) return accessToken;
    return (this.#refreshing ??= this.#refresh(accessToken).finally(() => (this.#refreshing = undefined)));
  }

  /** One refresh for all tabs: under a lock, and only if no other tab has done it meanwhile. */
  async #refresh(old: string): Promise<string> {
    const refresh = async (): Promise<string> => {
      const session = this.session();
      if (session.accessToken !== old) return session.accessToken;
      try {
        const tokens = await this.raw<Tokens>('POST', '/api/auth/refresh-token', { refreshToken: session.refreshToken });
        // Signed out, or in as somebody else, while the answer was under way: leave that alone.
        if (this.store.get()?.id === session.id) this.keep({ ...session, ...this.#kept(tokens) });
        return tokens.accessToken;
      } catch (error) {
        if (isSignedOut(error) && this.store.get()?.id === session.id) this.keep(null);
        throw error;
      }
    };
    const { locks } = this.platform;
    return locks ? locks.request(`coterie-refresh-${this.session().id}`, {}, refresh) : refresh();
  }

  /** Asks as the user of the session. A token that is refused is replaced once. */
  async call<T>(method: string, path: string, body?: unknown, progress?: (done: number) => void): Promise<T> {
    const token = await this.token();
    try {
      return await this.raw<T>(method, path, body, token, progress);
    } catch (error) {
      if (!isSignedOut(error)) throw error;
      return this.raw<T>(method, path, body, await this.token(token), progress);
    }
  }

  async raw<T>(method: string, path: string, body?: unknown, token?: string, progress?: (done: number) => void): Promise<T> {
    const form = body instanceof FormData;
    const headers: Record<string, string> = {};
    if (token) headers['authorization'] = `Bearer ${token}`;
    if (body !== undefined && !form) headers['content-type'] = 'application/json';
    const response = await this.#send(method, this.base + path, headers, form ? body : JSON.stringify(body), progress);
    const text = await response.text().catch((): never => {
      throw network();
    });
    if (!response.ok) throw failed(problem(response, text));
    return (text ? JSON.parse(text) : undefined) as T;
  }

  /** Posts a form to the store of files, which knows no tokens. */
  async toStore(url: string, form: FormData, progress: (done: number) => void): Promise<void> {
    const response = await this.#send('POST', url, {}, form, progress);
    if (!response.ok) throw failed(problem(response, ''));
  }

  async #send(method: string, url: string, headers: Record<string, string>, body?: BodyInit, progress?: (done: number) => void): Promise<Answered> {
    try {
      // Only XMLHttpRequest tells how much of a body has been sent.
      if (progress && typeof XMLHttpRequest === 'function') return await post(method, url, headers, body, progress);
      return await this.platform.fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
    } catch {
      throw network();
    }
  }
}

function problem({ status, headers }: Answered, text: string): Failure {
  const wait = Number(headers.get('retry-after')) || undefined;
  const own = headers.get('content-type')?.startsWith('application/problem+json');
  const failure = own ? (JSON.parse(text) as Failure) : ({ code: 'gateway', status, detail: `The service answered ${status}.` } as const);
  return { retryAfter: wait, ...failure } as Failure;
}

function post(method: string, url: string, headers: Record<string, string>, body: BodyInit | undefined, progress: (done: number) => void): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = event => progress(event.loaded / event.total);
    request.onerror = reject;
    request.onload = () => {
      const { status, responseText } = request;
      const headers = { get: (name: string) => request.getResponseHeader(name) };
      resolve({ ok: status < 300, status, headers, text: () => Promise.resolve(responseText) });
    };
    request.send(body as XMLHttpRequestBodyInit);
  });
}
