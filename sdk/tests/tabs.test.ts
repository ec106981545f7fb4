import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isCoterieError } from '../core/index.js';
import { Browser, Clients, Network, Server, group, me, open, until } from './harness.js';

let server: Server;
let clients: Clients;
before(async () => {
  server = await Server.start({ MAX_SOCKETS: '3' });
  clients = new Clients(server);
});
after(async () => {
  await clients.close();
  await server.stop();
});

test('two tabs whose token was refused refresh it once', async () => {
  const browser = new Browser();
  const tabs = [browser.tab(), browser.tab()];
  const [first, second] = tabs.map(({ platform }) => clients.add({ platform }, browser.session));
  await first!.register({ userId: 'refresher', password: 'correct horse' });
  await Promise.all([first!, second!].map(open));
  const session = browser.session.get()!;
  browser.session.set({ ...session, accessToken: 'of yesterday' });
  const profiles = await Promise.all([first!, second!].flatMap(c => [1, 2, 3].map(() => c.api('get', '/api/profile/{userId}', { path: { userId: 'me' } }))));
  assert.ok(profiles.every(profile => profile.userId === 'refresher'));
  assert.equal(tabs.reduce((n, tab) => n + (tab.asked.get('/api/auth/refresh-token') ?? 0), 0), 1);
  assert.notEqual(browser.session.get()!.refreshToken, session.refreshToken);
});

test('eleven tabs share one socket, and another tab takes it when theirs is gone', async () => {
  const browser = new Browser();
  const tabs = Array.from({ length: 11 }, () => browser.tab());
  const all = tabs.map(({ platform }) => clients.add({ platform }, browser.session));
  await all[0]!.register({ userId: 'many', password: 'correct horse' });
  await Promise.all(all.map(open));
  const sockets = () => tabs.reduce((n, tab) => n + tab.network.open, 0);
  assert.equal(sockets(), 1);
  assert.equal(tabs.reduce((n, tab) => n + (tab.asked.get('/api/ws-ticket') ?? 0), 0), 1);

  const bob = await clients.user();
  await open(bob);
  const roomId = await group(all[3]!, [bob]);
  const saw = (text: string) => all.map(c => until(c.room(roomId).messages, ({ items }) => items.some(m => m.content === text && m.status === 'sent')));
  // One that does not lead writes; the others see it, though the socket they share gets no push of it.
  all[7]!.room(roomId).send('from the eighth');
  await Promise.all(saw('from the eighth'));
  bob.room(roomId).send('from outside');
  await Promise.all(saw('from outside'));
  await all[5]!.room(roomId).react(`${roomId}-1`, '👍');
  await Promise.all(all.map(c => until(c.room(roomId).messages, ({ items }) => items[0]?.reactions[0]?.count === 1)));

  const leader = tabs.findIndex(tab => tab.network.open === 1);
  const left = all.filter((_, i) => i !== leader);
  tabs[leader]!.kill();
  left[4]!.room(roomId).send('after the crash');
  await Promise.all(left.map(c => until(c.room(roomId).messages, ({ items }) => items.some(m => m.content === 'after the crash' && m.status === 'sent'))));
  assert.equal(sockets(), 1);
  const { messages } = await bob.api('get', '/chats/{chatId}', { path: { chatId: roomId } });
  assert.deepEqual(messages.map(m => m.content), ['from the eighth', 'from outside', 'after the crash']);
});

test('signing out in one tab signs all tabs out, and a logout everywhere reaches them', async () => {
  const browser = new Browser();
  const [first, second] = [browser.tab(), browser.tab()].map(({ platform }) => clients.add({ platform }, browser.session));
  await first!.register({ userId: 'leaver', password: 'correct horse' });
  await Promise.all([first!, second!].map(open));
  await first!.signOut();
  await Promise.all([first!, second!].map(c => until(c.status, status => status === 'offline')));
  assert.equal(second!.user.snapshot(), null);
  assert.throws(() => second!.room(1), error => isCoterieError(error) && error.code === 'unauthenticated');

  await second!.signIn({ identifier: 'leaver', password: 'correct horse' });
  await open(first!);
  const elsewhere = clients.add();
  await elsewhere.signIn({ userId: 'leaver', password: 'correct horse' });
  await elsewhere.signOut({ everywhere: true });
  await Promise.all([first!, second!].map(c => until(c.user, user => user === null)));
});

test('a client whose socket gives way to a newer one stops until the user asks for it', async () => {
  const network = new Network();
  const ann = await clients.user('everywhere', { platform: network.platform });
  await open(ann);
  const reasons: string[] = [];
  ann.on('closing', ({ reason }) => reasons.push(reason));
  const others = [];
  for (let i = 0; i < 3; i++) {
    const other = clients.add();
    await other.signIn({ userId: 'everywhere', password: 'correct horse' });
    await open(other);
    others.push(other);
  }
  await until(ann.status, status => status === 'elsewhere');
  assert.deepEqual(reasons, ['tooManySockets']);
  network.online();
  assert.equal(ann.status.snapshot(), 'elsewhere', 'a network that is back does not connect it');
  assert.equal(network.opened, 1);
  ann.connect();
  await open(ann);
  await until(others[0]!.status, status => status === 'elsewhere');
});

test('a client that is told when to come back after a restart comes back', async () => {
  const ann = await clients.user();
  await open(ann);
  const told = new Promise<{ afterMs: number; at: number }>(resolve =>
    ann.on('closing', closing => {
      if (closing.reason === 'serverRestart') resolve({ afterMs: closing.afterMs, at: performance.now() });
    }),
  );
  await server.kill('SIGTERM');
  const { afterMs, at } = await told;
  await server.up();
  await open(ann);
  assert.ok(afterMs >= 1000);
  assert.ok(performance.now() - at >= afterMs - 5, 'not before it was told to');
});

for (const hours of [1, -1]) {
  test(`a clock that is ${hours > 0 ? 'fast' : 'slow'} by an hour, and one that jumps, disturb nothing`, async () => {
    const browser = new Browser();
    const tab = browser.tab();
    tab.skew = hours * 3_600_000;
    const ann = clients.add({ platform: tab.platform }, browser.session);
    await ann.register({ userId: `clock${hours}`, password: 'correct horse' });
    const bob = await clients.user();
    await Promise.all([ann, bob].map(open));
    const roomId = await group(ann, [bob]);
    const whole = (texts: string[]) => [ann, bob].map(c => until(c.room(roomId).messages, ({ items }) => items.map(m => m.content).join() === texts.join() && items.every(m => m.status === 'sent')));
    ann.room(roomId).send('one');
    await Promise.all(whole(['one']));
    bob.room(roomId).send('two');
    await Promise.all(whole(['one', 'two']));
    assert.equal(tab.asked.get('/api/auth/refresh-token'), undefined, 'a wrong clock alone needs no new token');
    // It is put right, or even more wrong; what is written then still comes after what was written before.
    tab.skew = -tab.skew;
    ann.room(roomId).send('three');
    await Promise.all(whole(['one', 'two', 'three']));
    tab.network.break();
    await until(ann.status, status => status !== 'open');
    await open(ann);
    ann.room(roomId).send('four');
    await Promise.all(whole(['one', 'two', 'three', 'four']));
    assert.ok((tab.asked.get('/api/auth/refresh-token') ?? 0) <= 1);
    assert.equal(me(ann), `clock${hours}`);
  });
}
