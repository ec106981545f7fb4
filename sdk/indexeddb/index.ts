/** Keeps what the client knows in IndexedDB: `createCoterie({ …, persist: indexedDb() })`. */
import type { Pending } from '../core/outbox.js';
import type { Persist } from '../core/persist.js';
import type { RoomState } from '../core/state.js';
import type { Chat, Message } from '../types/index.js';

interface SavedRoom {
  chat: Chat;
  /** The newest ones, without gaps; none if the history is not loaded. */
  messages: Message[];
}

const STORE = 'values';
const MOST_MESSAGES = 100;
const PAUSE = 500;

export function indexedDb(name = 'coterie', factory: IDBFactory = indexedDB): Persist {
  let opened: Promise<IDBDatabase> | undefined;
  let user = '';
  const unsaved = new Set<RoomState>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = Promise.resolve();

  function open(): Promise<IDBDatabase> {
    return new Promise((resolve, reject) => {
      const request = factory.open(name, 1);
      request.onupgradeneeded = () => void request.result.createObjectStore(STORE);
      request.onerror = () => reject(request.error!);
      request.onsuccess = () => {
        const database = request.result;
        // Another tab wants to delete it, or the browser has closed it: it is opened anew when it is needed.
        database.onclose = database.onversionchange = () => {
          database.close();
          opened = undefined;
        };
        resolve(database);
      };
    });
  }

  async function run<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => T): Promise<T> {
    opened ??= open();
    // A failure is for now: the next one opens it again.
    opened.catch(() => (opened = undefined));
    const database = await opened;
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const result = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error!);
    });
  }

  /** Writes one after the other. What fails, as in a private window, is not kept: the client works without. */
  function write(act: (store: IDBObjectStore) => void): void {
    last = last.then(() => run('readwrite', act)).catch(() => undefined);
  }

  const within = (userId: string) => IDBKeyRange.bound(`${userId}/`, `${userId}/\uffff`);

  function saveRooms(): void {
    clearTimeout(timer);
    timer = undefined;
    const saved = [...unsaved].map(state => {
      const chat = state.shown && { ...state.shown, lastSeq: state.cursor };
      const messages = state.last < Infinity ? [] : state.sorted.slice(-MOST_MESSAGES);
      return [`${state.me}/room/${state.id}`, chat && ({ chat, messages } satisfies SavedRoom)] as const;
    });
    unsaved.clear();
    write(store => {
      for (const [key, value] of saved) if (value) store.put(value, key);
      else store.delete(key);
    });
  }

  return {
    async open(userId, client) {
      user = userId;
      const [keys, values] = await run('readonly', store => [store.getAllKeys(within(userId)), store.getAll(within(userId))] as const);
      for (const [i, key] of keys.result.entries()) {
        const [, kind, id] = (key as string).split('/');
        const value = values.result[i] as unknown;
        if (userId !== user) return;
        if (kind === 'out') client.item(id!, value as Pending);
        else {
          const state = client.state(Number(id));
          const { chat, messages } = value as SavedRoom;
          // The service was quicker.
          if (state.chat) continue;
          state.list(chat);
          if (messages.length) await state.load(() => Promise.resolve({ messages, hasMore: true, hasOlder: true, hasNewer: false, lastSeq: chat.lastSeq }));
          client.changed(state);
        }
      }
    },
    item(id, item) {
      const key = `${user}/out/${id}`;
      write(store => (item ? store.put(item, key) : store.delete(key)));
    },
    room(state) {
      unsaved.add(state);
      timer ??= setTimeout(saveRooms, PAUSE);
    },
    async flush() {
      saveRooms();
      await last;
    },
    async clear(userId) {
      clearTimeout(timer);
      timer = undefined;
      unsaved.clear();
      write(store => store.delete(within(userId)));
      await last;
    },
  };
}
