/** The page's own addresses, behind `#`, so that every path of the server stays the API's. */
import { useSyncExternalStore } from 'react';

export type Route =
  | { page: 'chats' }
  | { page: 'room'; roomId: number; messageId?: string | undefined; info?: boolean }
  | { page: 'join'; roomId: number }
  | { page: 'people' | 'channels' | 'activity' | 'settings'; tab?: string | undefined };

export function parse(hash: string): Route {
  const [page, id, more, messageId] = hash.replace(/^#\/?/, '').split('/');
  const roomId = Number(id);
  if ((page === 'room' || page === 'join') && Number.isSafeInteger(roomId) && roomId > 0) {
    if (page === 'join') return { page, roomId };
    return { page, roomId, messageId: more === 'message' ? messageId : undefined, info: more === 'info' };
  }
  if (page === 'people' || page === 'channels' || page === 'activity' || page === 'settings') return { page, tab: id };
  return { page: 'chats' };
}

export const hrefs = {
  chats: '#/',
  room: (roomId: number) => `#/room/${roomId}`,
  message: (messageId: string) => `#/room/${messageId.split('-')[0]}/message/${messageId}`,
  info: (roomId: number) => `#/room/${roomId}/info`,
  join: (roomId: number) => `#/join/${roomId}`,
  people: '#/people',
  peopleTab: (tab: string) => `#/people/${tab}`,
  channels: '#/channels',
  activity: '#/activity',
  activityTab: (tab: string) => `#/activity/${tab}`,
  settings: '#/settings',
  settingsTab: (tab: string) => `#/settings/${tab}`,
};

export const go = (href: string): void => void (location.hash = href);
/** Goes there without a step in the browser's history. */
export const replace = (href: string): void => {
  history.replaceState(null, '', href);
  dispatchEvent(new HashChangeEvent('hashchange'));
};

let last: { hash: string; route: Route } | undefined;
const snapshot = (): Route => {
  if (last?.hash !== location.hash) last = { hash: location.hash, route: parse(location.hash) };
  return last.route;
};
const subscribe = (changed: () => void) => {
  addEventListener('hashchange', changed);
  return () => removeEventListener('hashchange', changed);
};

export const currentRoute = snapshot;
export const useRoute = (): Route => useSyncExternalStore(subscribe, snapshot);
