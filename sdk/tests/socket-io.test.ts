/** The client of Socket.IO from npm, as it is, against the service: what seed 003 lists, line by line, and what Socket.IO's
 * documents promise. With `TEST_GATEWAY` it is the server at that URL, whose functions run in processes of their own. */
/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-member-access -- answers and pushes are looked into as JSON */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { io } from 'socket.io-client';
import type { ManagerOptions, Socket, SocketOptions } from 'socket.io-client';
import { Server } from './harness.js';

type Json = Record<string, any>;
interface User {
  userId: string;
  token: string;
}

let server: Server | undefined;
let url: string;
let open: Socket[] = [];

before(async () => {
  if (!process.env['TEST_GATEWAY']) server = await Server.start();
  url = process.env['TEST_GATEWAY'] ?? server!.url;
});
afterEach(() => {
  for (const socket of open) socket.disconnect();
  open = [];
});
after(() => server?.stop());

async function rest(method: string, path: string, user?: User, body?: unknown): Promise<Json> {
  const headers: Record<string, string> = user ? { authorization: `Bearer ${user.token}` } : {};
  if (!(body instanceof FormData)) headers['content-type'] = 'application/json';
  const response = await fetch(url + path, { method, headers, body: body instanceof FormData ? body : JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? (JSON.parse(text) as Json) : {};
}

async function user(name: string): Promise<User> {
  const userId = `${name}-${crypto.randomUUID().slice(0, 8)}`;
  const registered = await rest('POST', '/auth/register', undefined, { userId, password: 'correct horse' });
  return { userId, token: registered['accessToken'] as string };
}

/** A socket that may not be connected yet. It records every event. */
function socketOf(options: Partial<ManagerOptions & SocketOptions>): Socket & { heard: [string, Json][] } {
  const socket = io(url, { transports: ['websocket'], forceNew: true, reconnectionDelay: 10, reconnectionDelayMax: 50, ...options });
  open.push(socket);
  const heard: [string, Json][] = [];
  socket.onAny((event: string, data: Json) => event !== 'presence' && heard.push([event, data]));
  return Object.assign(socket, { heard });
}

/** The next event of this name. */
function next(socket: Socket, event: string): Promise<any> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} comes`)), 20_000);
    socket.once(event, (data: unknown) => {
      clearTimeout(timer);
      resolve(data);
    });
  });
}

async function connected(user: User): Promise<ReturnType<typeof socketOf>> {
  const socket = socketOf({ auth: { token: user.token } });
  await next(socket, 'connect');
  return socket;
}

const ask = (socket: Socket, event: string, data: Json = {}): Promise<Json> => socket.timeout(20_000).emitWithAck(event, data) as Promise<Json>;

async function acked(socket: Socket, event: string, data: Json): Promise<Json> {
  const answer = await ask(socket, event, data);
  assert.equal(answer['ok'], true, JSON.stringify(answer));
  return answer;
}

/** Waits until the service has answered something that was sent after all else, so that nothing else is to come. */
async function heardNothing(socket: Socket & { heard: [string, Json][] }): Promise<void> {
  await acked(socket, 'ping', {});
  assert.deepEqual(socket.heard, []);
}

test('seed 003: connect and disconnect', async () => {
  const [ann, bob] = [await user('ann'), await user('bob')];
  await rest('POST', '/chats/send-message', ann, { userId: bob.userId, content: 'hello' });
  const anns = await connected(ann);
  const comes = next(anns, 'presence');
  const bobs = await connected(bob);
  assert.ok(bobs.connected && bobs.id);
  assert.deepEqual(await comes, { userId: bob.userId, online: true });
  const [goes, ended] = [next(anns, 'presence'), next(bobs, 'disconnect')];
  bobs.disconnect();
  assert.equal(await ended, 'io client disconnect');
  assert.deepEqual(await goes, { userId: bob.userId, online: false });
});

test('seed 003: send message and receive message', async () => {
  const [ann, bob, eve] = [await user('ann'), await user('bob'), await user('eve')];
  const chat = await rest('POST', '/chats/send-message', ann, { userId: bob.userId, content: 'hello' });
  const [anns, bobs, eves] = [await connected(ann), await connected(bob), await connected(eve)];
  const received = next(bobs, 'receiveMessage');
  const answer = await acked(anns, 'sendMessage', { roomId: chat['chatId'], content: 'Tea? 👍 "42["' });
  const push = (await received) as Json;
  assert.equal(push['message'].content, 'Tea? 👍 "42["');
  assert.equal(push['message'].userId, ann.userId);
  assert.equal(push['message'].messageId, answer['message'].messageId);
  await heardNothing(anns);
  await heardNothing(eves);
  // Without a callback the answer is an event.
  const [ack, error] = [next(anns, 'ack'), next(anns, 'error')];
  anns.emit('sendMessage', { roomId: chat['chatId'], content: 'And cake?' });
  assert.equal(((await ack) as Json)['message'].content, 'And cake?');
  anns.emit('sendMessage', { roomId: chat['chatId'] });
  assert.equal(((await error) as Json)['errors'][0].field, 'content');
  // Only members can write.
  const refused = await ask(eves, 'sendMessage', { roomId: chat['chatId'], content: 'x' });
  assert.deepEqual([refused['ok'], refused['error'].code], [false, 'not_a_member']);
});

test('seed 003: create group, join group and group message', async () => {
  const [ann, bob, carl, eve] = [await user('ann'), await user('bob'), await user('carl'), await user('eve')];
  const [anns, bobs, carls, eves] = [await connected(ann), await connected(bob), await connected(carl), await connected(eve)];
  const told = Promise.all([next(bobs, 'groupCreated'), next(carls, 'groupCreated')]);
  const created = await acked(anns, 'createGroup', { name: 'Hikers', members: [bob.userId, carl.userId] });
  const groupId = created['group'].id as number;
  for (const push of await told) assert.equal((push as Json)['group'].id, groupId);
  assert.equal((await acked(bobs, 'joinGroup', { groupId }))['group'].name, 'Hikers');
  assert.equal((await ask(eves, 'joinGroup', { groupId }))['error'].code, 'not_a_member');
  const received = Promise.all([next(anns, 'receiveMessage'), next(carls, 'receiveMessage')]);
  await acked(bobs, 'groupMessage', { groupId, content: 'Up the hill' });
  for (const push of await received) assert.equal((push as Json)['message'].content, 'Up the hill');
  await heardNothing(eves);
  assert.deepEqual(bobs.heard.map(([event]) => event), ['groupCreated']);
});

test('seed 003: send file and receive file', async () => {
  const [ann, bob, eve] = [await user('ann'), await user('bob'), await user('eve')];
  const chat = await rest('POST', '/chats/send-message', ann, { userId: bob.userId, content: 'hello' });
  const [anns, bobs, eves] = [await connected(ann), await connected(bob), await connected(eve)];
  const bytes = new TextEncoder().encode('%PDF-1.7\n1 0 obj\n<< /Title (Tea) >>\nendobj\n%%EOF\n');
  const upload = await rest('POST', '/uploads/presign', ann, { roomId: chat['chatId'], fileName: 'tea.pdf', type: 'application/pdf', size: bytes.length });
  const form = new FormData();
  for (const [name, value] of Object.entries(upload['fields'] as Record<string, string>)) form.append(name, value);
  form.append('file', new Blob([bytes], { type: 'application/pdf' }));
  const posted = await fetch(upload['url'] as string, { method: 'POST', body: form });
  assert.ok(posted.ok, await posted.text());
  const received = next(bobs, 'receiveFile');
  const sent = await acked(anns, 'sendFile', { uploadId: upload['uploadId'] });
  const push = (await received) as Json;
  assert.equal(push['message'].attachment.fileName, 'tea.pdf');
  assert.equal(push['message'].messageId, sent['message'].messageId);
  const files = await rest('POST', '/api/uploads/urls', bob, { uploadIds: [upload['uploadId']] });
  assert.ok(JSON.stringify(files).includes('http'));
  await heardNothing(eves);
  assert.equal((await ask(eves, 'sendFile', { uploadId: upload['uploadId'] }))['error'].code, 'upload_not_found');
});

test('tokens and tickets come in auth, in the query or in a header', async () => {
  const ann = await user('ann');
  const ticket = async () => (await rest('POST', '/api/ws-ticket', ann, {}))['ticket'] as string;
  for (const options of [
    { auth: { token: ann.token } },
    { auth: (send: (data: object) => void) => send({ token: ann.token }) },
    { auth: { ticket: await ticket() } },
    { query: { token: ann.token } },
    { query: { ticket: await ticket() } },
    { extraHeaders: { authorization: `Bearer ${ann.token}` } },
  ]) {
    const socket = socketOf(options);
    await next(socket, 'connect');
    assert.equal((await acked(socket, 'createGroup', { name: 'Hikers' }))['group'].createdBy, ann.userId);
    socket.disconnect();
  }
});

test('who may not connect learns why, and may try again', async () => {
  const ann = await user('ann');
  const socket = socketOf({ auth: { token: 'x' } });
  const error = (await next(socket, 'connect_error')) as Error & { data: Json };
  assert.equal(error.data['code'], 'unauthenticated');
  assert.equal(error.message, error.data['detail']);
  assert.equal(socket.active, false);
  socket.auth = { token: ann.token };
  socket.connect();
  await next(socket, 'connect');
  await acked(socket, 'ping', {});
  // Another namespace is refused, and takes nothing from this one.
  const admin = socket.io.socket('/admin', {});
  open.push(admin);
  admin.connect();
  assert.equal(((await next(admin, 'connect_error')) as Error).message, 'Invalid namespace');
  await acked(socket, 'ping', {});
});

test('a session that ends disconnects its sockets for good', async () => {
  const ann = await user('ann');
  const socket = await connected(ann);
  const [revoked, ended] = [next(socket, 'sessionRevoked'), next(socket, 'disconnect')];
  await rest('POST', '/api/auth/logout', ann, {});
  await revoked;
  assert.equal(await ended, 'io server disconnect');
  assert.equal(socket.active, false);
});

test('a connection that breaks is opened again with a fresh id, and sync tells what was missed', async () => {
  const [ann, bob] = [await user('ann'), await user('bob')];
  const chat = await rest('POST', '/chats/send-message', ann, { userId: bob.userId, content: 'first' });
  const roomId = chat['chatId'] as number;
  const socket = await connected(bob);
  const first = socket.id;
  const ended = next(socket, 'disconnect');
  (socket.io.engine.transport as unknown as { ws: { close: () => void } }).ws.close();
  assert.equal(await ended, 'transport close');
  await rest('POST', '/api/messages', ann, { roomId, content: 'meanwhile' });
  if (!socket.connected) await next(socket, 'connect');
  assert.ok(socket.id && socket.id !== first && !socket.recovered);
  const changes = await acked(socket, 'sync', { rooms: { [roomId]: 1 } });
  assert.ok(JSON.stringify(changes).includes('meanwhile'));
  await rest('POST', '/api/messages', ann, { roomId, content: 'afterwards' });
  while (!socket.heard.some(([event, data]) => event === 'receiveMessage' && data['message'].content === 'afterwards')) await next(socket, 'receiveMessage');
});

test('a binary packet is refused, and the socket stays', async () => {
  const socket = await connected(await user('ann'));
  const error = next(socket, 'error');
  socket.emit('sendMessage', { roomId: 1, content: new Uint8Array([1, 2, 3]) });
  assert.equal(((await error) as Json)['errors'][0].field, 'packet');
  const refused = await ask(socket, 'sendFile', { bytes: new Uint8Array([1, 2, 3]) });
  assert.deepEqual([refused['ok'], refused['error'].errors[0].field], [false, 'packet']);
  await acked(socket, 'ping', {});
  assert.ok(socket.connected);
});

test('polling is refused, and a client that may use both transports connects', async () => {
  const ann = await user('ann');
  const polling = socketOf({ transports: ['polling'], auth: { token: ann.token }, reconnection: false });
  assert.equal(((await next(polling, 'connect_error')) as Error).message, 'xhr poll error');
  const both = socketOf({ transports: ['polling', 'websocket'], tryAllTransports: true, auth: { token: ann.token } });
  await next(both, 'connect');
  await acked(both, 'ping', {});
});

test('the code of docs/socket.io.md runs as it stands', async () => {
  const [ann, bob] = [await user('ann'), await user('bob')];
  const chat = await rest('POST', '/chats/send-message', ann, { userId: bob.userId, content: 'hello' });
  const bobs = await connected(bob);
  const page = await readFile(fileURLToPath(new URL('../../../docs/socket.io.md', import.meta.url)), 'utf8');
  const code = /```js\n([^]*?)```/.exec(page)![1]!;
  assert.ok(code.trim().split('\n').length <= 25, 'it is short');
  // Beside the packages.
  const folder = await mkdtemp(fileURLToPath(new URL('../page-', import.meta.url)));
  try {
    const file = join(folder, 'page.mjs');
    const given = { 'http://localhost:3000': url, 'my access token': ann.token, 'the id of a room': String(chat['chatId']) };
    const filled = Object.entries(given).reduce((text, [placeholder, value]) => {
      assert.ok(text.includes(placeholder), placeholder);
      return text.replaceAll(placeholder, value);
    }, code);
    await writeFile(file, `${filled}\nsetTimeout(() => process.exit(1), 15_000).unref();\n`);
    const received = next(bobs, 'receiveMessage');
    const running = promisify(execFile)(process.execPath, [file]);
    const { child } = running;
    let printed = '';
    const finished = new Promise<void>((resolve, reject) => {
      child.stdout!.on('data', (text: string) => {
        printed += text;
        // The answer to a message and a push have no order.
        if (printed.includes('And hello to you') && printed.includes('sent 2')) resolve();
      });
      running.catch(error => reject(new Error(`${printed}: ${error}`)));
    });
    assert.equal(((await received) as Json)['message'].content, 'Hello from Socket.IO');
    await acked(bobs, 'sendMessage', { roomId: chat['chatId'], content: 'And hello to you' });
    await finished;
    child.kill();
    await running.catch(() => undefined);
  } finally {
    await rm(folder, { recursive: true });
  }
});
