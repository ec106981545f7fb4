import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { PATIENCE, World, act, chat, composer, details, dialog, message, newChat, notice, overflow, password, send, seriousFaults, signIn } from './harness.js';

let world: World;
let ann: Page;
let bob: Page;
const organizationName = 'Hikers of the north';
/** Ann's token, for what is quicker without a browser. */
let token = '';

before(async () => {
  world = await World.start();
});
after(async () => {
  await world?.stop();
});

const url = (path: string) => `${world.url}/${path}`;
const roomOf = (page: Page) => Number(/#\/room\/(\d+)/.exec(page.url())![1]);
/** A picture of one green pixel, and one of some more. */
const pixel = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

test('a registration says what is wrong, and a right one signs in', async () => {
  ann = await world.page();
  await ann.getByRole('button', { name: 'Create an account' }).click();
  await ann.getByLabel('Your name').fill('Ann Miller');
  await ann.getByLabel('User name').fill('ann');
  await ann.getByLabel('Password', { exact: true }).fill('short');
  await ann.getByText('Organization and more').click();
  await ann.getByLabel('Organization (optional)').fill(organizationName);
  await ann.getByRole('switch', { name: /Prime member/ }).click();
  await ann.getByLabel('Phone').fill('123');
  await ann.locator('form').evaluate((form: HTMLFormElement) => (form.noValidate = true));
  await ann.getByRole('button', { name: 'Create an account' }).click();
  await ann.locator('[aria-invalid]').nth(1).waitFor();
  assert.equal(await ann.locator('[aria-invalid]').count(), 2, 'the password and the phone are named');
  await ann.getByLabel('Phone').fill('');
  await ann.getByLabel('Password', { exact: true }).fill(password);
  await ann.getByRole('button', { name: 'Create an account' }).click();
  await notice(ann, 'You are the admin').waitFor();
  await ann.getByText('No chats yet').waitFor();

  await world.user('bob', 'Bob Okafor', { organizationName, availCoins: 400 });
  await world.user('cleo', 'Cleo Silva', { organizationName, isPrime: true });
  const again = await world.page();
  await again.getByRole('button', { name: 'Create an account' }).click();
  await again.getByLabel('Your name').fill('Another Ann');
  await again.getByLabel('User name').fill('ann');
  await again.getByLabel('Password', { exact: true }).fill(password);
  await again.getByRole('button', { name: 'Create an account' }).click();
  await again.getByText('Somebody has this already').waitFor();
  await again.context().close();
  ({ accessToken: token } = await world.post<{ accessToken: string }>('/api/auth/login', { identifier: 'ann', password }));
});

test('a wrong password says what to do, and a right one signs in', async () => {
  bob = await world.page();
  await bob.getByLabel('User name, e-mail or phone').fill('bob');
  await bob.getByLabel('Password', { exact: true }).fill('battery staple');
  await bob.getByRole('button', { name: 'Sign in', exact: true }).click();
  await bob.getByRole('alert').filter({ hasText: 'Check both and try again' }).waitFor();
  await signIn(bob, 'bob');
});

test('a first message makes a direct chat, with unread count, typing, presence and read marks', async () => {
  await newChat(ann, 'New message');
  await dialog(ann).getByLabel('Search by name or user name').fill('Bob');
  await dialog(ann).getByRole('button', { name: /^Bob Okafor/ }).click();
  await dialog(ann).getByLabel('Your first message').fill('Hello, Bob!');
  await dialog(ann).getByRole('button', { name: 'Send' }).click();
  await message(ann, 'Hello, Bob!').getByLabel('Sent').waitFor();

  const row = chat(bob, 'Ann Miller');
  await row.getByText('1 unread message').waitFor();
  await row.getByText('Hello, Bob!').waitFor();
  assert.match(await bob.title(), /^\(1\)/);
  await row.click();
  await bob.getByText('New', { exact: true }).waitFor();
  await message(ann, 'Hello, Bob!').getByLabel('Read by 1 person').waitFor();
  await row.getByText('1 unread message').waitFor({ state: 'detached' });
  await bob.locator('.room-title').getByText('online').waitFor();

  await composer(bob).pressSequentially('Hi');
  await ann.locator('.typing-line').getByText('Bob Okafor is writing').waitFor();
  await composer(bob).press('Enter');
  await message(ann, 'Hi').waitFor();
  await ann.locator('.typing-line').getByText('is writing').waitFor({ state: 'detached' });
});

test('a group has replies, reactions, edits, deletions and mentions', async () => {
  await newChat(ann, 'New group');
  await dialog(ann).getByLabel('Name of the group').fill('Weekend hike');
  await dialog(ann).getByRole('button', { name: /^Bob Okafor/ }).click();
  await dialog(ann).getByRole('button', { name: 'Create the group' }).click();
  await send(ann, 'Shall we take the early train?');
  await chat(bob, 'Weekend hike').click();

  await act(bob, 'early train', 'Reply');
  await bob.getByText('Reply to Ann Miller').waitFor();
  await send(bob, 'Yes, at seven');
  await message(ann, 'Yes, at seven').locator('.quote').getByText('Shall we take the early train?').waitFor();

  const answer = message(ann, 'Yes, at seven');
  await answer.hover();
  await answer.getByRole('button', { name: 'React' }).click();
  await ann.getByLabel('Search emoji').fill('party popper');
  await ann.getByLabel('Search emoji').press('Enter');
  const reaction = message(bob, 'Yes, at seven').getByRole('button', { name: /🎉: 1 person/ });
  await reaction.click();
  await answer.getByRole('button', { name: /🎉: 2 people, you too/ }).waitFor();

  await composer(bob).press('ArrowUp');
  await bob.getByText('Edit the message').waitFor();
  await composer(bob).fill('Yes, at eight');
  await composer(bob).press('Enter');
  await message(ann, 'Yes, at eight').getByText('edited').waitFor();

  await composer(ann).pressSequentially('Well, @bo');
  await ann.getByRole('option', { name: /Bob Okafor/ }).waitFor();
  await composer(ann).press('Enter');
  assert.equal(await composer(ann).inputValue(), 'Well, @Bob Okafor ');
  await composer(ann).pressSequentially('bring the map');
  await composer(ann).press('Enter');
  await message(bob, 'bring the map').locator('.mention').getByText('@Bob Okafor').waitFor();
  await bob.goto(url('#/activity/mentions'));
  await bob.getByRole('link').filter({ hasText: 'bring the map' }).click();
  await message(bob, 'bring the map').waitFor();

  await act(ann, 'bring the map', 'Delete');
  await dialog(ann).getByRole('button', { name: 'Delete' }).click();
  await message(bob, 'This message was deleted').waitFor();
});

test('what is written without a connection is shown at once, and sent when it is back', async () => {
  await bob.context().setOffline(true);
  await bob.getByRole('status').getByText('You are offline').waitFor();
  for (const text of ['First from the tunnel', 'Second from the tunnel']) {
    await send(bob, text);
    await message(bob, text).getByLabel('Sending').waitFor();
  }
  await send(ann, 'Where are you?');
  await bob.context().setOffline(false);
  for (const text of ['First from the tunnel', 'Second from the tunnel']) await message(bob, text).getByLabel(/Sent|Read/).waitFor();
  await message(bob, 'Where are you?').waitFor();
  await message(ann, 'Second from the tunnel').waitFor();
  const texts = await ann.getByRole('article').locator('.content').allTextContents();
  assert.ok(texts.indexOf('First from the tunnel') < texts.indexOf('Second from the tunnel'), texts.join());
  await bob.getByText('You are offline').waitFor({ state: 'detached' });
});

test('user text is never HTML', async () => {
  const text = '<img src=x onerror="document.title=1"><b>bold</b> https://example.com/"onclick="x';
  await send(ann, text);
  await message(bob, '<b>bold</b>').waitFor();
  assert.equal(await message(bob, '<b>bold</b>').locator('.content').textContent(), text);
  assert.equal(await bob.locator('.content img, .content b').count(), 0);
  const link = message(bob, '<b>bold</b>').getByRole('link');
  assert.deepEqual([await link.getAttribute('href'), await link.getAttribute('rel')], ['https://example.com/', 'noopener noreferrer nofollow']);
});

test('files are previewed, sent, shown and refused, chosen or dropped or pasted', async () => {
  await ann.locator('input[type=file]').first().setInputFiles({ name: 'leaf.png', mimeType: 'image/png', buffer: pixel });
  await ann.getByRole('list', { name: 'Files to send' }).getByText('leaf.png').waitFor();
  await send(ann, 'A leaf');
  const picture = message(bob, 'A leaf').getByRole('button', { name: 'Show leaf.png' });
  await picture.getByRole('img').waitFor();
  await picture.click();
  await dialog(bob).getByRole('img', { name: 'Picture leaf.png' }).waitFor();
  const downloaded = bob.waitForEvent('download');
  await dialog(bob).getByRole('button', { name: 'Download leaf.png' }).click();
  assert.equal((await downloaded).suggestedFilename(), 'leaf.png');
  await bob.keyboard.press('Escape');

  const files = await ann.evaluateHandle(bytes => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], 'dropped.png', { type: 'image/png' }));
    return data;
  }, [...pixel]);
  await ann.locator('.talk').dispatchEvent('dragover', { dataTransfer: files });
  await ann.getByText('Drop files to attach them').waitFor();
  await ann.locator('.talk').dispatchEvent('drop', { dataTransfer: files });
  await ann.getByRole('list', { name: 'Files to send' }).getByText('dropped.png').waitFor();
  await composer(ann).evaluate((area, data) => area.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })), files);
  assert.equal(await ann.getByRole('list', { name: 'Files to send' }).getByRole('listitem').count(), 2);
  await ann.getByRole('button', { name: 'Remove dropped.png' }).first().click();
  await ann.getByRole('button', { name: 'Send', exact: true }).click();
  await bob.getByRole('button', { name: 'Show dropped.png' }).waitFor();

  await ann.locator('input[type=file]').first().setInputFiles({ name: 'page.html', mimeType: 'text/html', buffer: Buffer.from('<p>') });
  await ann.getByRole('button', { name: 'Send', exact: true }).click();
  const refused = ann.getByRole('article').filter({ hasText: 'Not sent.' });
  await refused.getByText('This kind of file is not accepted').waitFor();
  await refused.getByRole('button', { name: 'Send again' }).click();
  await refused.getByText('This kind of file is not accepted').waitFor();
  await refused.getByRole('button', { name: 'Discard' }).click();
  await refused.waitFor({ state: 'detached' });

  const folder = await mkdtemp(join(tmpdir(), 'coterie-web-'));
  await writeFile(join(folder, 'big.png'), '');
  await truncate(join(folder, 'big.png'), 26 * 1024 * 1024);
  await ann.locator('input[type=file]').first().setInputFiles(join(folder, 'big.png'));
  await notice(ann, 'big.png is larger than 25 MB').getByRole('button', { name: 'Close' }).click();
  await rm(folder, { recursive: true });
});

test('a long history opens at what is new, loads both ways, and keeps the document small', async () => {
  const { userId } = await world.user('eve', 'Eve Tanaka', { organizationName });
  const { group } = await world.post<{ group: { id: number } }>('/groups', { name: 'Archive', members: ['bob', userId] }, token);
  for (let at = 0; at < 400; at += 20) {
    const messages = Array.from({ length: 20 }, (_, i) => ({ content: `Line ${at + i + 1}.` }));
    await world.post('/api/messages/batch', { roomId: group.id, messages }, token);
  }
  await bob.goto(url('#/'));
  await chat(bob, 'Archive').getByText('99+').waitFor();
  await chat(bob, 'Archive').click();
  await bob.getByText('New', { exact: true }).waitFor();
  await message(bob, 'Line 1.').first().waitFor();
  assert.ok((await bob.getByRole('article').count()) < 60);

  await bob.getByRole('region', { name: 'Messages' }).hover();
  for (let tries = 0; !(await message(bob, 'Line 120.').count()); tries++) {
    assert.ok(tries < 200, 'scrolling down loads what is newer');
    await bob.mouse.wheel(0, 700);
    await bob.waitForFunction(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))));
  }
  assert.ok((await bob.getByRole('article').count()) < 60);
  await bob.getByRole('button', { name: /To the newest message|new messages/ }).click();
  await message(bob, 'Line 400.').waitFor();
  await chat(bob, 'Archive').getByText('99+').waitFor({ state: 'detached' });

  await bob.getByRole('region', { name: 'Messages' }).hover();
  for (let tries = 0; !(await message(bob, 'Line 300.').count()); tries++) {
    assert.ok(tries < 200, 'scrolling up loads what is older');
    await bob.mouse.wheel(0, -700);
    await bob.waitForFunction(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))));
  }
  await bob.goto(url(`#/room/${group.id}/message/${group.id}-200`));
  await message(bob, 'Line 200.').waitFor();
  await bob.locator('article.target').filter({ hasText: 'Line 200.' }).waitFor();
  const box = (await message(bob, 'Line 200.').boundingBox())!;
  assert.ok(box.y > 60 && box.y < 740, 'it is in view');
});

test('admins make channels, and others find and join them', async () => {
  await newChat(ann, 'New channel');
  await dialog(ann).getByLabel('Name of the channel').fill('announcements');
  await dialog(ann).getByRole('button', { name: 'Create the channel' }).click();
  await ann.getByText('Nothing has been said yet').waitFor();
  const roomId = roomOf(ann);
  await bob.goto(url('#/channels'));
  assert.equal(await bob.getByRole('button', { name: 'New channel' }).count(), 0);
  await bob.getByRole('button', { name: 'Join: announcements' }).click();
  await ann.locator('.system', { hasText: 'Bob Okafor joined' }).waitFor();
  await send(ann, 'Welcome, all');
  await message(bob, 'Welcome, all').waitFor();

  const cleo = await world.signedIn('cleo');
  await cleo.goto(url(`#/room/${roomId}`));
  await cleo.getByRole('button', { name: 'Join' }).click();
  await message(cleo, 'Welcome, all').waitFor();
  await cleo.goto(url('#/room/99999'));
  await cleo.getByText('You are not in this chat').waitFor();
  await cleo.context().close();
});

test('rooms with a password cost coins, and invitations are accepted and declined', async () => {
  const cleo = await world.signedIn('cleo');
  const rooms: number[] = [];
  for (const name of ['Tea', 'Coffee']) {
    await newChat(ann, 'New room with a password');
    await dialog(ann).getByLabel('Name of the room').fill(name);
    await dialog(ann).getByLabel('Password of the room').fill('open sesame');
    await dialog(ann).getByRole('button', { name: 'Create the room' }).click();
    await ann.locator('.room-name').getByText(name).waitFor();
    rooms.push(roomOf(ann));
  }
  await newChat(bob, 'Join a room with a password');
  await dialog(bob).getByLabel('Number of the room').fill(String(rooms[0]));
  await dialog(bob).getByLabel('Password of the room').fill('open barley');
  await dialog(bob).getByRole('button', { name: 'Join' }).click();
  await dialog(bob).getByText('The password of the room is wrong').waitFor();
  await dialog(bob).getByLabel('Password of the room').fill('open sesame');
  await dialog(bob).getByRole('button', { name: 'Join' }).click();
  await notice(bob, 'You have joined.').waitFor();
  await bob.goto(url(`#/join/${rooms[1]}`));
  await dialog(bob).getByLabel('Password of the room').fill('open sesame');
  await dialog(bob).getByRole('button', { name: 'Join' }).click();
  await notice(bob, 'It cost 150 coins; you have 250 left').waitFor();
  await bob.goto(url('#/settings/coins'));
  await bob.getByText('250 coins', { exact: true }).waitFor();
  await bob.getByText('-150').waitFor();

  for (const [index, answer] of ['Join', 'Decline'].entries()) {
    await ann.goto(url(`#/room/${rooms[index]}/info`));
    await (await details(ann)).getByRole('button', { name: 'Invite somebody' }).click();
    await dialog(ann).getByRole('button', { name: /^Cleo Silva/ }).click();
    await dialog(ann).getByLabel('Password of the room').fill('open sesame');
    await dialog(ann).getByRole('button', { name: 'Invite somebody' }).click();
    await notice(ann, 'Cleo Silva is invited').waitFor();
    await cleo.goto(url('#/activity/invitations'));
    await cleo.getByRole('button', { name: `${answer}: ${index ? 'Coffee' : 'Tea'}` }).click();
    await (index ? cleo.getByText('No invitations').waitFor() : cleo.locator('.room-name').getByText('Tea').waitFor());
  }
  await cleo.context().close();
});

test('friends ask, accept and part', async () => {
  await ann.goto(url('#/people/find'));
  await ann.getByLabel('Search by name or user name').fill('Okafor');
  const found = ann.getByRole('listitem').filter({ hasText: 'Bob Okafor' });
  await found.getByRole('button', { name: 'Add friend' }).click();
  await notice(ann, 'You have asked Bob Okafor').waitFor();
  await found.getByRole('button', { name: 'Withdraw' }).click();
  await found.getByRole('button', { name: 'Add friend' }).click();
  await bob.getByRole('link', { name: /People/ }).getByText('1').waitFor();
  await bob.goto(url('#/people/requests'));
  await bob.getByRole('button', { name: 'Accept' }).click();
  await bob.getByText('No requests').waitFor();
  await ann.getByRole('tab', { name: 'Friends' }).click();
  await ann.getByRole('button', { name: /Bob Okafor/ }).first().click();
  await dialog(ann).getByRole('button', { name: 'Remove from friends' }).click();
  await ann.getByRole('dialog', { name: 'Remove Bob Okafor from your friends?' }).getByRole('button', { name: 'Remove from friends' }).click();
  await dialog(ann).getByRole('button', { name: 'Add friend' }).waitFor();
  await dialog(ann).getByRole('button', { name: 'Close' }).click();
  await ann.getByText('No friends yet').waitFor();
});

test('owners change, moderate and pass on a group', async () => {
  await ann.goto(url('#/'));
  await chat(ann, 'Weekend hike').click();
  const panel = await details(ann);
  await panel.getByRole('button', { name: 'Name, topic, slow mode' }).click();
  await dialog(ann).getByLabel('Name', { exact: true }).fill('Sunday hike');
  await dialog(ann).getByLabel('Topic').fill('Meet at the station');
  await dialog(ann).getByLabel('Slow mode').selectOption({ label: 'Every hour' });
  await dialog(ann).getByRole('button', { name: 'Save' }).click();
  await bob.goto(url('#/'));
  await chat(bob, 'Sunday hike').click();
  await bob.locator('.room-title').getByText('Meet at the station').waitFor();
  await bob.getByText('Slow mode: one message every 1 hour.').first().waitFor();

  await panel.getByRole('button', { name: 'Actions for Bob Okafor' }).click();
  await ann.getByRole('menuitem', { name: 'Make a moderator' }).click();
  await panel.getByRole('listitem').filter({ hasText: 'Bob Okafor' }).getByText('Moderator').waitFor();
  await panel.getByRole('button', { name: 'Add people' }).click();
  await dialog(ann).getByRole('button', { name: /^Cleo Silva/ }).click();
  await dialog(ann).getByRole('button', { name: 'Add people' }).click();
  await panel.getByRole('listitem').filter({ hasText: 'Cleo Silva' }).waitFor();
  await panel.getByRole('button', { name: 'Actions for Cleo Silva' }).click();
  await ann.getByRole('menuitem', { name: 'Remove from the room' }).click();
  await ann.getByRole('dialog').getByRole('button', { name: 'Remove from the room' }).click();
  await panel.getByRole('listitem').filter({ hasText: 'Cleo Silva' }).waitFor({ state: 'detached' });

  await panel.locator('input[type=file]').setInputFiles({ name: 'hills.png', mimeType: 'image/png', buffer: pixel });
  await chat(bob, 'Sunday hike').locator('.avatar img').waitFor();

  await panel.getByRole('button', { name: 'Actions for Bob Okafor' }).click();
  await ann.getByRole('menuitem', { name: 'Pass the ownership' }).click();
  await ann.getByRole('dialog').getByRole('button', { name: 'Pass the ownership' }).click();
  await panel.getByRole('listitem').filter({ hasText: 'Bob Okafor' }).getByText('Owner').waitFor();
  await bob.locator('.system', { hasText: 'Bob Okafor is the owner now' }).waitFor();
  await ann.getByRole('button', { name: 'Leave' }).click();
  await ann.getByRole('dialog').getByRole('button', { name: 'Leave' }).click();
  await chat(ann, 'Sunday hike').waitFor({ state: 'detached' });
  await bob.locator('.system', { hasText: 'Ann Miller left' }).waitFor();
});

test('everybody arranges their own list of chats', async () => {
  await bob.goto(url('#/'));
  await chat(bob, 'Ann Miller').click();
  const panel = await details(bob);
  await panel.getByRole('switch', { name: 'Favorite' }).click();
  await bob.getByRole('list', { name: 'Chats' }).getByRole('link').first().filter({ hasText: 'Ann Miller' }).waitFor();
  await panel.getByLabel('Notify me of').selectOption({ label: 'Nothing' });
  await chat(bob, 'Ann Miller').getByTitle('Muted').waitFor();
  await panel.getByRole('button', { name: 'Mark as unread' }).click();
  await chat(bob, 'Ann Miller').getByLabel('Marked as unread').waitFor();
  await chat(bob, 'Ann Miller').click();
  await chat(bob, 'Ann Miller').getByLabel('Marked as unread').waitFor({ state: 'detached' });
  await (await details(bob)).getByRole('switch', { name: 'Archive' }).click();
  await chat(bob, 'Ann Miller').waitFor({ state: 'detached' });
  await bob.getByRole('button', { name: 'Archived' }).click();
  await chat(bob, 'Ann Miller').waitFor();
  for (const name of ['Archive', 'Favorite']) await panel.getByRole('switch', { name }).click();
  await panel.getByLabel('Notify me of').selectOption({ label: 'All messages' });
});

test('a profile and its picture are changed, and others see it', async () => {
  await bob.goto(url('#/settings/profile'));
  await bob.getByLabel('Name', { exact: true }).fill('Robert Okafor');
  await bob.getByLabel('E-mail').fill('not an address');
  await bob.locator('form').first().evaluate((form: HTMLFormElement) => (form.noValidate = true));
  await bob.getByRole('button', { name: 'Save' }).click();
  await bob.locator('[aria-invalid]').waitFor();
  await bob.getByLabel('E-mail').fill('bob@example.com');
  await bob.getByRole('button', { name: 'Save' }).click();
  await notice(bob, 'Saved.').waitFor();
  await bob.locator('input[type=file]').setInputFiles({ name: 'bob.png', mimeType: 'image/png', buffer: pixel });
  await bob.getByRole('button', { name: 'Remove the picture' }).waitFor();
  await ann.goto(url('#/'));
  await chat(ann, 'Robert Okafor').locator('.avatar img').waitFor();
  await bob.goto(url('#/settings/account'));
  await bob.getByRole('switch', { name: 'Show when I am online' }).click();
  await chat(ann, 'Robert Okafor').locator('.online').waitFor({ state: 'detached' });
  await bob.getByRole('switch', { name: 'Show when I am online' }).click();
  await chat(ann, 'Robert Okafor').locator('.online').waitFor();
});

test('admins give coins and roles', async () => {
  await ann.goto(url('#/people/find'));
  await ann.getByRole('button', { name: /Robert Okafor/ }).click();
  await ann.getByText('For admins').click();
  await dialog(ann).getByLabel('Role in the organization').selectOption({ label: 'Moderator' });
  await dialog(ann).locator('.tags').getByText('Moderator').waitFor();
  await dialog(ann).getByLabel(/Coins to give/).fill('50');
  await dialog(ann).getByLabel('Reason').fill('prize');
  await dialog(ann).getByRole('button', { name: 'Give' }).click();
  await notice(ann, 'The coins are booked').waitFor();
  await dialog(ann).getByRole('button', { name: 'Close' }).click();
  await bob.goto(url('#/settings/coins'));
  await bob.getByText('300 coins', { exact: true }).waitFor();
});

test('a message notifies whoever looks elsewhere', async () => {
  const cleo = await world.page({ permissions: ['notifications'] });
  await cleo.addInitScript(() => {
    const shown: string[] = [];
    class Quiet {
      static permission = 'granted';
      static requestPermission = () => Promise.resolve('granted');
      constructor(title: string, { body }: { body: string }) {
        shown.push(`${title}: ${body}`);
      }
      close() {
        // Nothing is shown.
      }
    }
    Object.assign(window, { Notification: Quiet, shown });
  });
  await cleo.reload();
  await signIn(cleo, 'cleo');
  await cleo.goto(url('#/settings/appearance'));
  await cleo.getByRole('switch', { name: 'Show notifications' }).click();
  await world.post('/chats/send-message', { userId: 'cleo', content: 'Are you there?' }, token);
  await cleo.waitForFunction(() => (window as unknown as { shown: string[] }).shown.length > 0, undefined, { timeout: PATIENCE });
  assert.deepEqual(await cleo.evaluate(() => (window as unknown as { shown: string[] }).shown), ['Ann Miller: Are you there?']);
  await cleo.getByLabel('Colors').selectOption({ label: 'Dark' });
  assert.equal(await cleo.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'dark');
  await cleo.context().close();
});

test('the keyboard alone is enough', async () => {
  await bob.goto(url('#/'));
  await bob.getByRole('list', { name: 'Chats' }).getByRole('link').first().focus();
  const names = await bob.getByRole('list', { name: 'Chats' }).locator('.row-name').allTextContents();
  for (let step = 0; step < names.indexOf('Ann Miller'); step++) await bob.keyboard.press('ArrowDown');
  await bob.keyboard.press('Enter');
  await composer(bob).waitFor();
  await bob.waitForFunction(() => document.activeElement?.tagName === 'TEXTAREA');
  await bob.keyboard.type('By keyboard');
  await bob.keyboard.press('Enter');
  await message(bob, 'By keyboard').getByLabel(/Sent|Read/).waitFor();
  await bob.keyboard.press('Shift+Tab');
  for (let tries = 0; !(await bob.evaluate(() => document.activeElement?.tagName === 'ARTICLE')); tries++) {
    assert.ok(tries < 12, 'the messages are reached with Tab');
    await bob.keyboard.press('Shift+Tab');
  }
  await bob.keyboard.press('ArrowUp');
  await bob.keyboard.press('ArrowDown');
  await bob.waitForFunction(() => document.activeElement?.textContent?.includes('By keyboard'));
  await bob.keyboard.press('Enter');
  await bob.getByRole('menu').waitFor();
  await bob.keyboard.press('Escape');
  await bob.getByRole('menu').waitFor({ state: 'detached' });
  await bob.locator('article.active').focus();
  await bob.keyboard.press('e');
  await bob.getByText('Edit the message').waitFor();
  await bob.keyboard.press('Escape');
  await bob.getByText('Edit the message').waitFor({ state: 'detached' });
});

test('axe finds nothing serious on any screen, and nothing is wider than a phone', async () => {
  const [chats] = [await world.post<{ chatId: number }>('/chats/send-message', { userId: 'bob', content: 'For the screens' }, token)];
  await world.post('/api/friend-requests', { userId: 'bob' }, token);
  const screens = [
    '#/', `#/room/${chats.chatId}`, `#/room/${chats.chatId}/info`, '#/people/friends', '#/people/requests', '#/people/find', '#/channels', '#/activity/mentions',
    '#/activity/invitations', '#/settings/profile', '#/settings/account', '#/settings/devices', '#/settings/coins', '#/settings/appearance',
  ];
  for (const [width, colorScheme] of [[1280, 'light'], [1280, 'dark'], [360, 'light'], [360, 'dark']] as const) {
    const page = await world.page({ viewport: { width, height: 740 }, colorScheme, ...(width < 500 ? { hasTouch: true, isMobile: true } : {}) });
    const check = async (where: string) => {
      assert.equal(await seriousFaults(page), '', `${where}, ${width}, ${colorScheme}`);
      assert.ok((await overflow(page)) <= 0, `${where} is wider than ${width}`);
    };
    await check('sign in');
    await page.getByRole('button', { name: 'Create an account' }).click();
    await check('register');
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await signIn(page, 'bob');
    for (const screen of screens) {
      await page.goto(url(screen));
      await page.locator('.spinner').waitFor({ state: 'detached' });
      await check(screen);
    }
    for (const kind of ['New message', 'New group', 'Join a room with a password']) {
      await newChat(page, kind);
      await dialog(page).locator('.spinner').waitFor({ state: 'detached' });
      await check(kind);
      await dialog(page).getByRole('button', { name: 'Close' }).click();
    }
    await page.context().close();
  }
});

test('a revoked device is signed out, and signing out everywhere ends all of them', async () => {
  const other = await world.signedIn('bob');
  const third = await world.signedIn('bob');
  await bob.goto(url('#/settings/devices'));
  await bob.getByText('This device').waitFor();
  const devices = bob.getByRole('button', { name: /^Sign out: / });
  await devices.nth(1).waitFor();
  await devices.first().click();
  await third.getByText('You have been signed out').waitFor();
  await bob.getByRole('button', { name: 'Sign out everywhere' }).click();
  await dialog(bob).getByRole('button', { name: 'Sign out everywhere' }).click();
  for (const page of [bob, other]) await page.getByText('You have been signed out').waitFor();
});

test('no page has complained', () => {
  assert.deepEqual(world.complaints, []);
});
