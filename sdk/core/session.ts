import type { OwnProfile } from '../types/index.js';

/** Who is signed in. */
export interface Session {
  /** A random name of this sign-in; tabs with the same one share a socket. */
  id: string;
  user: OwnProfile;
  accessToken: string;
  refreshToken: string;
  /** By this device's clock, in milliseconds. */
  expiresAt: number;
}

/** Where the session is kept. All tabs must see the same. */
export interface SessionStore {
  get(): Session | null;
  set(session: Session | null): void;
}

/** Keeps the session in `localStorage`, which all tabs of an origin share and which outlives them. */
export function localSession(key = 'coterie-session'): SessionStore {
  return {
    get: () => JSON.parse(localStorage.getItem(key) ?? 'null') as Session | null,
    set: session => (session ? localStorage.setItem(key, JSON.stringify(session)) : localStorage.removeItem(key)),
  };
}

/** Keeps the session in memory: for programs, and for people who want to be signed out when they close the tab. */
export function memorySession(session: Session | null = null): SessionStore {
  return { get: () => session, set: next => void (session = next) };
}
