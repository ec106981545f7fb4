import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { memorySession } from '../core/index.js';
import { Clients, Network, Server, flood, group, history, me, open, random, until } from './harness.js';

let server: Server;
let clients: Clients;
before(async () => {
  server = await Server.start();
  clients = new Clients(server);
});
after(async () => {
  await clients.close();
  await server.stop();
});

test('what is sent arrives once and in order, though the server is killed in the middle', async () => {
  const [ann, bob] = await Promise.all([clients.user(), clients.user()]);
  await Promise.all([open(ann), open(bob)]);
  const roomId = await group(ann, [bob]);
  const room = ann.room(roomId);
  const texts = Array.from({ length: 45 }, (_, i) => `message ${i}`);
  for (const text of texts.slice(0, 30)) room.send(text);
  assert.equal(room.messages.snapshot().items.length, 30, 'they show at once');

  await until(room.messages, ({ items }) => items.filter(m => m.status === 'sent').length >= 10);
  await server.kill();
  for (const text of texts.slice(30)) room.send(text);
  await until(ann.status, status => status !== 'open');
  await server.up();

  const whole = ({ items }: { items: { status: string }[] }) => items.length === 45 && items.every(m => m.status === 'sent');
  const mine = await until(room.messages, whole);
  const theirs = await until(bob.room(roomId).messages, whole);
  assert.deepEqual(mine.items.map(m => m.content), texts);
  assert.deepEqual(theirs.items.map(m => m.content), texts);
  assert.deepEqual((await history(ann, roomId)).map(m => m.content), texts);
});

test('a message whose answer is lost is stored once', async () => {
  const network = new Network();
  const ann = await clients.user(undefined, { platform: network.platform });
  const roomId = await group(ann, []);
  await open(ann);
  network.loseAnswers = 2;
  for (const text of ['one', 'two', 'three']) ann.room(roomId).send(text);
  await until(ann.room(roomId).messages, ({ items }) => items.length === 3 && items.every(m => m.status === 'sent'));
  assert.equal(network.loseAnswers, 0);
  assert.deepEqual((await history(ann, roomId)).map(m => m.content), ['one', 'two', 'three']);
});

test('3,000 missed messages come, and the room is whole', async () => {
  const network = new Network();
  const session = memorySession();
  const [ann, bob] = await Promise.all([clients.user('ann', {}, session), clients.user('bob', { platform: network.platform })]);
  const roomId = await group(ann, [bob]);
  await open(bob);
  const room = bob.room(roomId);
  ann.room(roomId).send('before');
  await until(room.messages, ({ items }) => items.length === 1 && items[0]!.seq === 1);

  network.offline();
  await until(bob.status, status => status === 'offline');
  await flood(server, session.get()!.accessToken, roomId, 3000);
  network.online();

  const { items } = await until(room.messages, messages => messages.items.length === 3001);
  assert.deepEqual(items, (await history(bob, roomId)).map(m => ({ ...m, key: m.messageId, status: 'sent' })));
  assert.equal(room.chat.snapshot()?.unread, 100);
  assert.equal(room.chat.snapshot()?.lastMessage?.seq, 3001);
});

const runs = Number(process.env['RUNS'] ?? 2);
for (let run = 1; run <= runs; run++) {
  test(`8 rooms under concurrent senders with reconnects end as the server has them: run ${run} of ${runs}`, async () => {
    const chance = random(run);
    const network = new Network(() => {
      const n = chance();
      return n < 0.1 ? 'lose' : n < 0.2 ? 'double' : n < 0.3 ? 'late' : 'pass';
    });
    const watcher = await clients.user(undefined, { platform: network.platform });
    const senders = await Promise.all([1, 2, 3].map(() => clients.user()));
    await Promise.all([watcher, ...senders].map(open));
    const ids = await Promise.all(Array.from({ length: 8 }, (_, i) => group(senders[0]!, [watcher, ...senders.slice(1)], `Room ${i}`)));
    // Half of them are looked at from the start, the others only at the end.
    const looks = ids.slice(0, 4).map(id => watcher.room(id).messages.subscribe(() => {}));

    const work = senders.map(async (sender, s) => {
      const mine = random(run * 10 + s);
      for (let i = 0; i < 60; i++) {
        const roomId = ids[Math.floor(mine() * 8)]!;
        const { message } = await sender.api('post', '/api/messages', { body: { roomId, content: `${s} ${i}` } });
        const { messageId } = message;
        const then = mine();
        if (then < 0.1) await sender.api('delete', '/api/messages/{messageId}', { path: { messageId } });
        else if (then < 0.2) await sender.api('patch', '/api/messages/{messageId}', { path: { messageId }, body: { content: 'changed' } });
        else if (then < 0.3) await sender.room(roomId).react(messageId, '👍', true);
        else if (then < 0.4) watcher.room(roomId).send(`w ${s} ${i}`);
        if (i % 20 === 7) network.break();
      }
    });
    await Promise.all(work);
    network.break();

    for (const roomId of ids) {
      const room = watcher.room(roomId);
      // The senders are done; what the watcher still has to send, it sends now.
      await until(room.messages, ({ items }) => items.every(m => m.status === 'sent'));
      const { lastSeq } = await watcher.api('get', '/chats/{chatId}', { path: { chatId: roomId }, query: { limit: 1 } });
      while (room.messages.snapshot().hasOlder) await room.older();
      await until(room.messages, ({ items }) => Math.max(...items.map(m => m.updatedSeq)) === lastSeq);
      const wanted = await history(watcher, roomId);
      assert.deepEqual(
        room.messages.snapshot().items,
        wanted.map(m => ({ ...m, key: (m.userId === me(watcher) && m.clientMessageId) || m.messageId, status: 'sent' })),
      );
      const { data } = await watcher.api('get', '/chats', { query: { pageSize: 100 } });
      const row = data.find(c => c.chatId === roomId)!;
      await until(room.chat, chat => isDeepStrictEqual(chat?.lastMessage, row.lastMessage) && chat?.unread === row.unread);
    }
    for (const end of looks) end();
    await watcher.close();
    await Promise.all(senders.map(sender => sender.close()));
  });
}

test('a message names members, and an edit names others', async () => {
  const [ann, bob] = await Promise.all([clients.user(), clients.user()]);
  const roomId = await group(ann, [bob]);
  await Promise.all([open(ann), open(bob)]);
  const [annsRoom, bobsRoom] = [ann.room(roomId), bob.room(roomId)];
  annsRoom.send('for Bob, and for all', { mentions: [me(bob)], mentionsAll: true });
  assert.deepEqual(annsRoom.messages.snapshot().items.at(-1)!.mentions, [me(bob)], 'it shows at once');
  const heard = await until(bobsRoom.messages, ({ items }) => items.length === 1);
  assert.deepEqual([heard.items[0]!.mentions, heard.items[0]!.mentionsAll], [[me(bob)], true]);
  assert.equal(bobsRoom.chat.snapshot()!.unreadMentions, 1);

  await annsRoom.edit(heard.items[0]!.messageId, 'for nobody', { mentions: [], mentionsAll: false });
  const edited = await until(bobsRoom.messages, ({ items }) => items[0]!.editedAt !== null);
  assert.deepEqual([edited.items[0]!.mentions, edited.items[0]!.mentionsAll], [[], false]);
});

test('the first message of a new chat is told, and a room that was made over REST is listed', async () => {
  const [ann, bob] = await Promise.all([clients.user(), clients.user()]);
  await Promise.all([open(ann), open(bob)]);
  const heard: string[] = [];
  bob.on('message', ({ content }) => heard.push(content));
  const room = await ann.direct(me(bob)).send('Hello');
  room.send('again');
  await until(bob.rooms, ([chat]) => chat?.lastMessage?.content === 'again');
  await until(bob.rooms, () => heard.length >= 2);
  assert.deepEqual(heard, ['Hello', 'again']);

  const { group: made } = await ann.api('post', '/groups', { body: { name: 'Made' } });
  await ann.refresh();
  assert.ok(ann.rooms.snapshot().some(({ chatId }) => chatId === made.id));
});
