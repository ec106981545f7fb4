import type { Pending } from './outbox.js';
import type { RoomState } from './state.js';

/** Keeps what the client knows, and what it still has to send, until the next start. `coterie/indexeddb` has one. */
export interface Persist {
  /** A user has signed in: gives the client what was kept. */
  open(userId: string, client: { item(id: string, item: Pending): void; state(roomId: number): RoomState; changed(state: RoomState): void }): Promise<void>;
  /** Keeps something that is to be sent; with `undefined` it is sent, or given up. */
  item(id: string, item: Pending | undefined): void;
  /** Something in a room has changed. */
  room(state: RoomState): void;
  /** Resolves when everything is kept. */
  flush(): Promise<void>;
  /** The user has signed out: forgets everything of theirs. */
  clear(userId: string): Promise<void>;
}
