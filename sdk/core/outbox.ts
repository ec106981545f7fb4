import type { Api } from './api.js';
import type { Failure } from './errors.js';
import { failureOf, isPassing } from './errors.js';
import type { Change, Message } from '../types/index.js';

/** A message or a file that the service has not confirmed yet. */
export interface Pending {
  clientMessageId: string;
  roomId: number;
  content: string;
  replyTo: string | null;
  isEncrypted: boolean;
  /** Whom it names; without them, nobody. */
  mentions?: string[];
  mentionsAll?: boolean;
  createdAt: string;
  /** Its place among those of its room. */
  order: number;
  file?: Blob;
  fileName?: string;
  /** Where a large file was put already. */
  uploadId?: string;
  /** Of a file: how much of it is sent, from 0 to 1. */
  progress?: number;
  /** Why the service refused it. It stays until it is sent again or discarded. */
  failure?: Failure;
}

/** Something that happened to an item: it is new, has changed, or with neither is gone. */
interface Note {
  id: string;
  add?: Pending;
  to?: Partial<Pending>;
}

/** The largest file that goes as a form; a larger one goes straight to the store. */
const FORM = 4 * 1024 * 1024;

/**
 * What is to be sent, for each room in order. Every tab knows all of it; the tab that leads sends it. Everything has its
 * `clientMessageId` from the beginning, so whoever is unsure whether something was sent, sends it again.
 */
export class Outbox {
  #items = new Map<string, Pending>();
  #done = new Set<string>();
  #running = new Set<number>();
  #order = 0;
  #pause = Promise.resolve();
  #stopped = false;

  constructor(
    private api: Api,
    private on: {
      /** Whether this tab sends, and has a connection. */
      ready(): boolean;
      ask<T>(event: string, data: unknown): Promise<T>;
      /** The service has stored it. */
      sent(change: Change): void;
      /** The outbox of this room has changed. */
      changed(roomId: number): void;
      /** Tells the other tabs. */
      note(note: unknown): void;
      /** Waits before the next try. */
      wait(tries: number, failure: Failure): Promise<void>;
      keep(key: string, item: Pending | undefined): void;
    },
  ) {}

  /** Those of a room, in order. */
  of(roomId: number): Pending[] {
    return [...this.#items.values()].filter(item => item.roomId === roomId).sort((a, b) => a.order - b.order);
  }

  add(item: Omit<Pending, 'clientMessageId' | 'createdAt' | 'order'>): string {
    const now = this.api.platform.now();
    this.#order = Math.max(this.#order + 1, now);
    const clientMessageId = crypto.randomUUID();
    const pending = { ...item, clientMessageId, createdAt: new Date(now).toISOString(), order: this.#order };
    this.do({ id: clientMessageId, add: pending });
    return clientMessageId;
  }

  /** Does something here, in the other tabs and in what is kept. */
  do(note: Note): void {
    if (!note.add && !this.#items.has(note.id)) return;
    const item = this.hear(note);
    // How far a file is, is nothing to keep.
    if (note.to?.progress === undefined) this.on.keep(note.id, item && { ...item, progress: undefined });
    this.on.note(note);
  }

  /** Another tab did something, or the last run had kept something. */
  hear({ id, add, to }: Note): Pending | undefined {
    const old = this.#items.get(id);
    const item = old && to ? { ...old, ...to } : add && !this.#done.has(id) ? (old ?? add) : undefined;
    if (item) {
      this.#items.set(id, item);
      this.#order = Math.max(this.#order, item.order);
    } else if (!add && !to) {
      this.#items.delete(id);
      this.#done.add(id);
    }
    const { roomId } = item ?? old ?? {};
    if (roomId) {
      this.on.changed(roomId);
      void this.#run(roomId);
    }
    return item;
  }

  /** Tells other tabs what they may not know: one that has come, or one that leads now. */
  tellAll(): void {
    for (const item of this.#items.values()) this.on.note({ id: item.clientMessageId, add: item });
  }

  /** There is a connection, or this tab leads now. */
  flush(): void {
    for (const roomId of new Set([...this.#items.values()].map(item => item.roomId))) void this.#run(roomId);
  }

  /** Sends those of a room one after the other: frames of a socket overtake each other. */
  async #run(roomId: number): Promise<void> {
    if (this.#running.has(roomId)) return;
    this.#running.add(roomId);
    for (let tries = 0; ; ) {
      await this.#pause;
      if (this.#stopped || !this.on.ready()) break;
      const item = this.of(roomId).find(i => !i.failure);
      if (!item) break;
      try {
        this.on.sent(await this.#deliver(item));
        this.do({ id: item.clientMessageId });
        tries = 0;
      } catch (error) {
        const failure = failureOf(error);
        // Nobody is signed in any more: they stay for the next time.
        if (failure.code === 'unauthenticated') break;
        if (!isPassing(failure)) this.do({ id: item.clientMessageId, to: { failure } });
        // A limit counts for all rooms. A connection that broke says itself when it is back.
        else if (failure.code === 'rate_limited') this.#pause = this.on.wait(0, failure);
        else if (this.on.ready()) await this.on.wait(tries++, failure);
      }
    }
    this.#running.delete(roomId);
  }

  /** Has one message stored. Whatever the connection does meanwhile, it can be repeated. */
  async #deliver(item: Pending): Promise<Change> {
    const { roomId, file } = item;
    // What is not the message's, the service ignores.
    if (!file) return this.on.ask<Change>('sendMessage', item);
    const { message } = file.size <= FORM ? await this.#form(item, file) : await this.#place(item, file);
    return { roomId, seq: message.updatedSeq, message };
  }

  #progress = (id: string) => (progress: number) => this.do({ id, to: { progress } });

  #form({ roomId, content, clientMessageId, fileName }: Pending, file: Blob): Promise<{ message: Message }> {
    const fields = { roomId: String(roomId), clientMessageId, ...(content && { caption: content }) };
    return this.api.call('POST', '/uploads', form(fields, file, fileName), this.#progress(clientMessageId));
  }

  async #place(item: Pending, file: Blob): Promise<{ message: Message }> {
    const { roomId, content, fileName, clientMessageId } = item;
    let { uploadId } = item;
    if (!uploadId) {
      const place = await this.api.call<{ uploadId: string; url: string; fields: Record<string, string> }>('POST', '/uploads/presign', {
        roomId,
        fileName,
        type: file.type,
        size: file.size,
        caption: content || null,
      });
      await this.api.toStore(place.url, form(place.fields, file, fileName), this.#progress(clientMessageId));
      uploadId = place.uploadId;
      this.do({ id: clientMessageId, to: { uploadId } });
    }
    return this.api.call('POST', `/uploads/${uploadId}/complete`);
  }

  stop(): void {
    this.#stopped = true;
  }
}

function form(fields: Record<string, string>, file: Blob, fileName?: string): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  data.append('file', file, fileName);
  return data;
}
