import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RoomState, react } from '../core/state.js';
import type { Numbered } from '../core/state.js';
import type { Chat, History, Message } from '../types/index.js';

const ME = 'me';
const people = [ME, 'ann', 'bob'];
const marks = ['👍', '❤', '🎉'];
const SETTINGS: Chat['membership'] = { notifications: 'all', favorite: false, archived: false, markedUnread: false };

/** A server with one room: what `docs/contract.md` says of numbers, `sync`, history and the list of chats. */
class Model {
  lastSeq = 0;
  messages: Message[] = [];
  members = 3;
  topic = 0;
  read = 0;

  #next(): number {
    return ++this.lastSeq;
  }

  #store(userId: string, kind: Message['kind'], content: string, more: Partial<Message> = {}): Message {
    const seq = this.#next();
    const message = { messageId: `1-${seq}`, roomId: 1, seq, updatedSeq: seq, kind, userId, name: userId, content, isEncrypted: false, clientMessageId: `c${seq}`, replyTo: null, attachment: null, reactions: [], createdAt: `at ${seq}`, editedAt: null, deleted: false, quoted: null, replyCount: 0, mentions: [], mentionsAll: false, ...more };
    this.messages.push(message);
    return message;
  }

  /** Does something, and answers its push. */
  act(what: number, which: number, who: number): Numbered {
    const userId = people[who % 3]!;
    const live = this.messages.filter(m => m.kind !== 'system' && !m.deleted);
    const at = live.length ? this.messages.indexOf(live[which % live.length]!) : -1;
    const old = this.messages[at];
    const named = { mentions: which % 4 === 0 ? [ME] : [], mentionsAll: which % 7 === 0 };
    if (what < 4 || !old) {
      const message = this.#store(userId, 'text', `text ${which}`, named);
      return { seq: message.seq, message };
    }
    if (what === 4) {
      const content = ['joined', 'left', 'removed', 'updated'][which % 4]!;
      if (content === 'updated') this.topic++;
      else this.members += content === 'joined' ? 1 : -1;
      return { seq: this.#store('eve', 'system', content).seq };
    }
    const change = (to: Partial<Message>): Numbered => {
      const message = (this.messages[at] = { ...old, ...to, updatedSeq: this.#next() });
      return { seq: message.updatedSeq, message };
    };
    if (what === 5) return change({ content: `edited ${which}`, editedAt: `at ${this.lastSeq + 1}`, ...named });
    if (what === 6) return change({ content: '', attachment: null, reactions: [], mentions: [], mentionsAll: false, deleted: true });
    const reaction = marks[which % 3]!;
    const removed = old.reactions.some(r => r.reaction === reaction && r.userIds.includes(userId));
    return change({ reactions: react(old.reactions, reaction, userId, removed, ME) });
  }

  sync(cursor: number) {
    const newer = this.messages.filter(m => m.updatedSeq > cursor).sort((a, b) => a.updatedSeq - b.updatedSeq);
    const messages = newer.slice(0, 3);
    const hasMore = newer.length > 3;
    return { messages, nextSeq: hasMore ? messages.at(-1)!.updatedSeq : this.lastSeq, lastSeq: this.lastSeq, hasMore };
  }

  page(before = Infinity): History {
    const older = this.messages.filter(m => m.seq < before);
    const hasOlder = older.length > 4;
    return { messages: older.slice(-4), hasMore: hasOlder, hasOlder, hasNewer: before < Infinity ? null : false, lastSeq: this.lastSeq };
  }

  chat(): Chat {
    const unread = this.messages.filter(m => m.seq > this.read && m.userId !== ME && m.kind !== 'system' && !m.deleted);
    return {
      chatId: 1,
      room: { id: 1, memberCount: this.members, topic: `${this.topic}` } as Chat['room'],
      peer: null,
      members: null,
      membership: SETTINGS,
      lastMessage: this.messages.at(-1) ?? null,
      unread: unread.length,
      unreadMentions: unread.filter(m => m.mentionsAll || m.mentions.includes(ME)).length,
      firstUnreadSeq: unread[0]?.seq ?? null,
      readSeq: this.read,
      lastSeq: this.lastSeq,
    };
  }
}

interface Step {
  do: 'act' | 'push' | 'double' | 'lose' | 'ask sync' | 'get sync' | 'ask list' | 'get list' | 'ask page' | 'get page' | 'read';
  a: number;
  b: number;
  c: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  do: fc.oneof(
    { arbitrary: fc.constant('act' as const), weight: 6 },
    { arbitrary: fc.constant('push' as const), weight: 6 },
    { arbitrary: fc.constantFrom<Step['do']>('double', 'lose', 'ask sync', 'get sync', 'ask list', 'get list', 'ask page', 'get page', 'read'), weight: 9 },
  ),
  a: fc.nat(8),
  b: fc.nat(50),
  c: fc.nat(2),
});

test('whatever order pushes come in, lost or doubled, the store ends in the state of the server', async () => {
  const run = async (steps: Step[]) => {
    const server = new Model();
    const state = new RoomState(1, ME);
    const under: Numbered[] = [];
    let sync: ReturnType<Model['sync']> | undefined;
    let row: Chat | undefined;
    let page: { get(): void; done: Promise<void> } | undefined;

    const askSync = () => void (sync ??= server.sync(state.syncBegins()));
    const getSync = () => {
      const answer = sync;
      sync = undefined;
      if (answer && state.syncPage(answer)) askSync();
    };
    const getAll = () => {
      askSync();
      while (sync) getSync();
    };
    const askPage = () => {
      if (page || !state.chat) return;
      const { first } = state;
      const answer = server.page(first);
      let get = () => {};
      const wait = new Promise<void>(resolve => (get = resolve));
      const read = async () => {
        await wait;
        return answer;
      };
      const done = state.load(read);
      page = { get, done };
    };
    const getPage = async () => {
      page?.get();
      await page?.done;
      page = undefined;
    };
    const getList = () => {
      if (row) state.list(row);
      row = undefined;
    };

    state.list(server.chat());
    for (const { do: what, a, b, c } of steps) {
      const i = under.length ? b % under.length : -1;
      if (what === 'act') {
        under.push(server.act(a, b, c));
      } else if (what === 'push' && i >= 0) state.take(under.splice(i, 1)[0]!);
      else if (what === 'double' && i >= 0) state.take(under[i]!);
      else if (what === 'lose' && i >= 0) under.splice(i, 1);
      else if (what === 'ask sync') askSync();
      else if (what === 'get sync') getSync();
      else if (what === 'ask list') row ??= server.chat();
      else if (what === 'get list') getList();
      else if (what === 'ask page') askPage();
      else if (what === 'get page') await getPage();
      else if (what === 'read') {
        server.read = Math.max(server.read, state.cursor);
        // Or another device has read it, and the push of that was lost.
        if (c < 2) state.readTo(state.cursor);
      }
    }

    // What every reconnect does: the list of chats, then `sync` for what is behind.
    getList();
    await getPage();
    while (sync) getSync();
    state.list(server.chat());
    for (let i = 0; state.behind; i++) {
      assert.ok(i < 100, 'sync comes to an end');
      getAll();
    }
    // From here on a quiet network: pushes alone keep it right, but for system messages.
    const quiet = [[0, 0, 0], [0, 4, 1], [0, 9, 2], [4, 0, 0], [4, 1, 0], [4, 3, 0], [5, 7, 1], [6, 14, 2], [7, 21, 0], [8, 28, 1], [0, 8, 1]] as const;
    for (const [what, which, who] of quiet) {
      state.take(server.act(what, which, who));
      while (what === 4 && state.behind) getAll();
      if (state.doubtful) state.list(server.chat());
    }
    assert.equal(state.behind, false);
    while (state.first < Infinity && state.hasOlder) {
      askPage();
      await getPage();
    }

    const shown = [...state.messages.values()].sort((a, b) => a.seq - b.seq);
    if (state.first < Infinity) assert.deepEqual(shown, server.messages);
    assert.deepEqual(state.shown, server.chat());
  };
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), run), { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 1000) });
});
