/** What is known of people: names, pictures, who is online. Messages and members do not have all of it. */
import { useObservable } from 'coterie/react';
import type { Chat, OwnProfile, Profile } from 'coterie';
import { client } from './client.js';
import { Resource, Store } from './store.js';
import { ignore } from './util.js';

export type Person = Pick<Profile, 'userId' | 'name'> & Partial<Profile>;

const AT_ONCE = 4;
const known = new Map<string, Store<Person>>();
const waiting = new Set<string>();
let loading = 0;

/** A person, as far as known; the rest is loaded when somebody looks. */
export function person(userId: string, name?: string): Store<Person> {
  let store = known.get(userId);
  if (!store) {
    store = new Store<Person>({ userId, name: name ?? userId }, () => {
      if (known.get(userId)!.snapshot().avatarUrl === undefined) load(userId);
    });
    known.set(userId, store);
  }
  return store;
}

const nobody = new Store<Person>({ userId: '', name: '' });
/** What a chat is called: a direct one by the name of the other, as it is now. */
export function useChatName({ room, peer }: Pick<Chat, 'room' | 'peer'>): string {
  const { name } = useObservable(peer ? person(peer.userId, peer.name) : nobody);
  return peer ? name : room.name;
}

export const usePerson = (userId: string, name?: string): Person => useObservable(person(userId, name));

function load(userId: string): void {
  waiting.add(userId);
  void next();
}

async function next(): Promise<void> {
  if (loading >= AT_ONCE) return;
  const [userId] = waiting;
  if (userId === undefined || !client.user.snapshot()) return;
  waiting.delete(userId);
  loading++;
  // Somebody who is gone, or no connection: what is known has to do.
  await client.api('get', '/api/profile/{userId}', { path: { userId } }).then(profile => learn(profile), ignore);
  loading--;
  void next();
}

/** Some route has told this about people. */
export function learn(...profiles: (Partial<Profile> & { userId: string })[]): void {
  for (const profile of profiles) {
    const store = person(profile.userId, profile.name);
    store.set({ ...store.snapshot(), ...profile });
  }
}

/** Something between the user and these people has changed, or somebody looks closely. */
export function loadAgain(...userIds: string[]): void {
  for (const userId of userIds) if (known.get(userId)?.watched) load(userId);
}

client.rooms.subscribe(rooms => {
  for (const { peer, members } of rooms) {
    for (const profile of [...(peer ? [peer] : []), ...(members ?? [])]) {
      // The list may be older than a push.
      const { online: _, lastSeenAt: __, friendship: ___, ...rest } = profile;
      learn(known.has(profile.userId) ? rest : profile);
    }
  }
});
client.on('presence', ({ userId, online }) => learn({ userId, online, ...(online ? {} : { lastSeenAt: new Date().toISOString() }) }));
client.on('userUpdated', ({ user }) => learn(user));
for (const push of ['friendRequest', 'friendRequestAnswered', 'friendRequestWithdrawn'] as const) {
  client.on(push, ({ friendRequest: { from, to } }) => loadAgain(from, to));
}
client.on('signedOut', () => {
  known.clear();
  waiting.clear();
});
// Whoever came or went while there was no connection.
client.status.subscribe(status => {
  if (status !== 'open') return;
  const ids = [...known].filter(([, store]) => store.watched).map(([userId]) => userId);
  for (let at = 0; at < ids.length; at += 100) {
    client
      .api('get', '/api/presence', { query: { userIds: ids.slice(at, at + 100).join(',') } })
      .then(({ presence }) => learn(...presence), ignore);
  }
});

/** The own profile, with coins. */
export const account = new Resource<OwnProfile>(async () => {
  const profile = (await client.api('get', '/api/profile/{userId}', { path: { userId: 'me' } })) as OwnProfile;
  learn({ ...profile, friendship: null });
  return profile;
}, ['userUpdated']);

/** The own profile; before it is loaded, that of the sign-in. */
export function useMe(): OwnProfile {
  const { data } = useObservable(account);
  return data ?? client.user.snapshot()!;
}

