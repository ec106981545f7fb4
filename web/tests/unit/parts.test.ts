import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse, hrefs } from '../../src/app/router.js';
import { ago, day, duration } from '../../src/app/time.js';
import { bytes } from '../../src/app/util.js';
import { deviceName } from '../../src/auth/device.js';
import { preview } from '../../src/chats/preview.js';
import { t } from '../../src/strings.js';

test('every address of the page leads back to where it came from', () => {
  assert.deepEqual(parse(hrefs.room(7)), { page: 'room', roomId: 7, messageId: undefined, info: false });
  assert.deepEqual(parse(hrefs.message('7-12')), { page: 'room', roomId: 7, messageId: '7-12', info: false });
  assert.deepEqual(parse(hrefs.info(7)), { page: 'room', roomId: 7, messageId: undefined, info: true });
  assert.deepEqual(parse(hrefs.join(7)), { page: 'join', roomId: 7 });
  assert.deepEqual(parse(hrefs.settingsTab('devices')), { page: 'settings', tab: 'devices' });
  for (const hash of ['', '#', '#/', '#/room', '#/room/x', '#/room/-1', '#/room/1e99', '#/other']) assert.deepEqual(parse(hash), { page: 'chats' }, hash);
});

test('days and durations are as people say them', () => {
  const now = new Date(2026, 4, 20, 12);
  const before = (days: number) => new Date(2026, 4, 20 - days, 23).toISOString();
  assert.deepEqual([0, 1, 2, 10].map(days => day(before(days), now)), ['Today', 'Yesterday', 'Monday', 'May 10']);
  assert.equal(day(new Date(2024, 0, 2).toISOString(), now), 'January 2, 2024');
  assert.deepEqual([0.2, 1, 59, 60, 7200, 200_000].map(duration), ['1 second', '1 second', '59 seconds', '1 minute', '2 hours', '2 days']);
  assert.equal(ago(new Date(now.getTime() - 300_000).toISOString(), now), '5 minutes ago');
});

test('sizes, devices and previews are short', () => {
  assert.deepEqual([12, 2048, 1024 * 1024 * 3.5, 1024 * 1024 * 25].map(bytes), ['12 B', '2.0 KB', '3.5 MB', '25 MB']);
  assert.equal(deviceName('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36'), 'Chrome, Linux');
  assert.equal(deviceName('?'), 'Browser');
  const message = { kind: 'text', content: 'a\n\nb', deleted: false, isEncrypted: false, name: 'Ann' } as const;
  assert.equal(preview(message), 'a b');
  assert.equal(preview({ ...message, deleted: true }), t.preview.deleted);
  assert.equal(preview({ ...message, kind: 'system', content: 'joined' }), 'Ann joined');
});
