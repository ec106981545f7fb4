/** The client of the SDK, one for the page. */
import { createCoterie, localSession } from 'coterie';
import type { Coterie } from 'coterie';
import { indexedDb } from 'coterie/indexeddb';

/** Where REST is: the origin of the page, unless the build was told another one. */
export const apiUrl = import.meta.env.VITE_API_URL || location.origin;

export const client: Coterie = createCoterie({
  url: apiUrl,
  webSocketUrl: import.meta.env.VITE_WEBSOCKET_URL || undefined,
  session: localSession(),
  persist: indexedDb(),
});

/** The address of a picture whose path the service gives, such as an avatar. */
export const pictureUrl = (path: string | null | undefined): string | undefined => (path ? new URL(path, apiUrl).href : undefined);
