/** Hooks for React: thin, since an observable is what `useSyncExternalStore` wants. */
import { createContext, createElement, useContext, useSyncExternalStore } from 'react';
import type { ReactElement, ReactNode } from 'react';
import type { Chat, Coterie, Member, Messages, Observable, OwnProfile, Status, Typing } from '../core/index.js';

const Context = createContext<Coterie | null>(null);

/** Gives the client to the hooks below it. */
export function CoterieProvider({ client, children }: { client: Coterie; children?: ReactNode }): ReactElement {
  return createElement(Context.Provider, { value: client }, children);
}

/** The client of the `CoterieProvider`. */
export function useCoterie(): Coterie {
  const client = useContext(Context);
  if (!client) throw new Error('useCoterie needs a <CoterieProvider client={...}> above it.');
  return client;
}

/** The value of an observable. The component renders again when it changes. */
export function useObservable<T>({ subscribe, snapshot }: Observable<T>): T {
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

/** Who is signed in, or null. */
export const useUser = (): OwnProfile | null => useObservable(useCoterie().user);
export const useStatus = (): Status => useObservable(useCoterie().status);
/** The rooms of the user, the newest activity first. */
export const useRooms = (): Chat[] => useObservable(useCoterie().rooms);
/** A room in the list of chats. */
export const useChat = (roomId: number): Chat | undefined => useObservable(useCoterie().room(roomId).chat);
/** The messages of a room. The newest page loads by itself; the methods of `client.room(id)` do the rest. */
export const useMessages = (roomId: number): Messages => useObservable(useCoterie().room(roomId).messages);
export const useMembers = (roomId: number): Member[] => useObservable(useCoterie().room(roomId).members);
export const useReads = (roomId: number): Record<string, number> => useObservable(useCoterie().room(roomId).reads);
export const useTyping = (roomId: number): Typing[] => useObservable(useCoterie().room(roomId).typing);
