import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createElement as h } from 'react';
import { act, create } from 'react-test-renderer';
import type { ReactTestRenderer } from 'react-test-renderer';
import { createCoterie, isCoterieError, memorySession } from '../core/index.js';
import type { Failure } from '../core/index.js';
import { indexedDb } from '../indexeddb/index.js';
import { CoterieProvider, useMessages, useRooms, useUser } from '../react/index.js';
import { Clients, Network, Server, group, history, open, until } from './harness.js';

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

let server: Server;
let clients: Clients;
before(async () => {
  server = await Server.start({ MESSAGE_LIMIT: '10/1' });
  clients = new Clients(server);
});
after(async () => {
  await clients.close();
  await server.stop();
});

/** The smallest file that the service takes for a PNG, filled up to `size`. */
function png(size: number): Blob {
  const bytes = new Uint8Array(size);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55]);
  return new Blob([bytes], { type: 'image/png' });
}

test('an outbox that is throttled waits as long as it is told, and sends everything in order', async () => {
  const ann = await clients.user();
  await open(ann);
  const roomId = await group(ann, []);
  const room = ann.room(roomId);
  const texts = Array.from({ length: 25 }, (_, i) => `${i}`);
  const start = performance.now();
  for (const text of texts) room.send(text);
  const { items } = await until(room.messages, messages => messages.items.length === 25 && messages.items.every(m => m.status === 'sent'));
  assert.deepEqual(items.map(m => m.content), texts);
  assert.ok(performance.now() - start > 1000, 'the limit of ten in a second was met');
  assert.deepEqual((await history(ann, roomId)).map(m => m.content), texts);
});

test('a message that is refused says why, does not hold up others, and can be discarded', async () => {
  const ann = await clients.user();
  await open(ann);
  const room = ann.room(await group(ann, []));
  const key = room.send('x'.repeat(8001));
  room.send('fine');
  const { items } = await until(room.messages, messages => messages.items.some(m => m.status === 'failed') && messages.items.some(m => m.status === 'sent'));
  const refused = items.find(m => m.key === key)!;
  assert.ok(refused.failure?.code === 'invalid_request' && refused.failure.errors[0]?.field === 'content');
  room.discard(key);
  await until(room.messages, messages => messages.items.length === 1);
});

test('small and large files are sent, and their URL needs no token', async () => {
  const [ann, bob] = await Promise.all([clients.user(), clients.user()]);
  await Promise.all([ann, bob].map(open));
  const roomId = await group(ann, [bob]);
  const room = ann.room(roomId);
  room.sendFile(png(1000), { fileName: 'small.png', caption: 'a small one' });
  room.sendFile(png(5_000_000), { fileName: 'large.png' });
  const { items } = await until(bob.room(roomId).messages, messages => messages.items.length === 2);
  assert.deepEqual(items.map(m => [m.kind, m.content, m.attachment?.fileName, m.attachment?.size]), [
    ['file', 'a small one', 'small.png', 1000],
    ['file', '', 'large.png', 5_000_000],
  ]);
  await until(room.messages, messages => messages.items.length === 2 && messages.items.every(m => m.status === 'sent'));
  const url = await bob.fileUrl(items[0]!.attachment!, { width: 200 });
  assert.equal((await (await fetch(url)).arrayBuffer()).byteLength, 1000);
  assert.equal(await bob.fileUrl(items[0]!.attachment!), url, 'it is asked for once');
});

test('what is kept shows before there is a connection, and what was not sent is sent at the next start', async () => {
  const session = memorySession();
  const network = new Network();
  const persist = indexedDb();
  const ann = await clients.user(undefined, { persist, platform: network.platform }, session);
  const roomId = await group(ann, []);
  await open(ann);
  ann.room(roomId).send('sent');
  await until(ann.room(roomId).messages, ({ items }) => items[0]?.status === 'sent');
  const { userId } = ann.user.snapshot()!;
  network.offline();
  ann.room(roomId).send('kept');
  ann.room(roomId).sendFile(png(900), { fileName: 'kept.png' });
  await ann.close();

  const later = clients.add({ persist: indexedDb(), platform: network.platform }, session);
  await later.ready;
  assert.equal(later.status.snapshot(), 'offline');
  assert.deepEqual(later.room(roomId).messages.snapshot().items.map(m => [m.content, m.status]), [['sent', 'sent'], ['kept', 'sending'], ['', 'sending']]);
  assert.deepEqual(later.rooms.snapshot().map(chat => chat.chatId), [roomId]);
  network.online();
  await until(later.room(roomId).messages, ({ items }) => items.length === 3 && items.every(m => m.status === 'sent'));
  assert.deepEqual((await history(later, roomId)).map(m => [m.content, m.attachment?.fileName]), [['sent', undefined], ['kept', undefined], ['', 'kept.png']]);

  await later.signOut();
  await persist.open(userId, {
    item: () => assert.fail('signing out forgets what was to be sent'),
    state: () => assert.fail('and the rooms'),
    changed: () => {},
  });
});

test('direct chats, editing, deleting, read positions, typing and history in both directions', async () => {
  const [ann, bob] = await Promise.all([clients.user('direct-ann'), clients.user('direct-bob')]);
  await Promise.all([ann, bob].map(open));
  assert.equal(await ann.direct('direct-bob').find(), undefined);
  const room = await ann.direct('direct-bob').send('hello');
  const theirs = await bob.direct('direct-ann').find();
  assert.equal(theirs?.id, room.id);
  assert.equal((await ann.direct('direct-bob').find())?.id, room.id);

  const { items } = await until(theirs.messages, messages => messages.items.length === 1);
  assert.equal(theirs.chat.snapshot()?.unread, 1);
  theirs.markRead();
  await until(room.reads, reads => reads['direct-bob'] === 1);
  assert.equal(theirs.chat.snapshot()?.unread, 0);
  theirs.startTyping();
  await until(room.typing, ([who]) => who?.userId === 'direct-bob');
  theirs.send('hi');
  await until(room.typing, who => who.length === 0);

  const { messageId } = items[0]!;
  await until(room.messages, messages => messages.items.length === 2);
  const edit = room.edit(messageId, 'hello all');
  await until(room.messages, messages => messages.items[0]?.content === 'hello all' && messages.items[0].status === 'changing');
  await edit;
  await until(theirs.messages, messages => messages.items[0]?.content === 'hello all');
  await assert.rejects(theirs.edit(messageId, 'not mine'), error => isCoterieError(error) && error.code === 'not_sender');
  assert.equal(theirs.messages.snapshot().items[0]?.content, 'hello all', 'a refused edit goes back');
  await until(room.members, members => members.length === 2);
});

test('the history is read backwards, around a message, and forwards again', async () => {
  const ann = await clients.user();
  await open(ann);
  const roomId = await group(ann, []);
  const room = ann.room(roomId);
  // Reactions take numbers, and no limit of messages.
  for (let i = 0; i < 9; i++) room.send(`${i}`);
  await until(room.messages, ({ items }) => items.length === 9 && items.every(m => m.status === 'sent'));
  for (let i = 0; i < 130; i++) await room.react(`${roomId}-9`, '👍', i % 2 === 0);
  room.send('after');
  await until(room.messages, ({ items }) => items.at(-1)?.seq === 140);
  const other = clients.add({}, memorySession());
  await other.signIn({ userId: ann.user.snapshot()!.userId, password: 'correct horse' });
  await open(other);
  await other.room(roomId).jumpTo(`${roomId}-3`);
  assert.equal(other.room(roomId).messages.snapshot().items.some(m => m.seq === 3), true);
  await other.room(roomId).newer();
  await other.room(roomId).older();
  assert.deepEqual(other.room(roomId).messages.snapshot().items, room.messages.snapshot().items);
});

test('hooks render what the client knows, and again when it changes', async () => {
  const ann = await clients.user('hooked');
  await open(ann);
  const roomId = await group(ann, [], 'Readers');
  await until(ann.rooms, rooms => rooms.length === 1);
  const List = () => h('ul', {}, useMessages(roomId).items.map(m => h('li', { key: m.key }, m.content)));
  const Page = () => h('main', {}, useUser()?.userId, ' ', useRooms()[0]?.room.name, h(List));
  let page: ReactTestRenderer | undefined;
  await act(async () => void (page = create(h(CoterieProvider, { client: ann }, h(Page)))));
  await act(async () => {
    ann.room(roomId).send('hello');
    await until(ann.room(roomId).messages, ({ items }) => items[0]?.status === 'sent');
  });
  assert.deepEqual(page!.toJSON(), { type: 'main', props: {}, children: ['hooked', ' ', 'Readers', { type: 'ul', props: {}, children: [{ type: 'li', props: {}, children: ['hello'] }] }] });
  act(() => page!.unmount());
});

test('errors narrow on their code', async () => {
  const client = clients.add();
  const describe = (failure: Failure): string => {
    switch (failure.code) {
      case 'user_exists':
        return `${failure.field} is taken`;
      case 'rate_limited':
        return `wait ${failure.retryAfter}`;
      default:
        return failure.detail;
    }
  };
  await clients.user('taken');
  const error = await client.register({ userId: 'taken', password: 'correct horse' }).catch((e: unknown) => e);
  assert.ok(isCoterieError(error));
  assert.equal(describe(error), 'userId is taken');
  const nowhere = createCoterie({ url: 'http://127.0.0.1:1', session: memorySession(), platform: clients.platform });
  const lost = await nowhere.signIn({ identifier: 'taken', password: 'x' }).catch((e: unknown) => e);
  assert.ok(isCoterieError(lost) && lost.code === 'network');
  await nowhere.close();
});
