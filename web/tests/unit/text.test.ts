import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEmojiOnly, mentionAt, parts } from '../../src/room/text.js';

const links = (text: string) => parts(text).flatMap(part => (part.kind === 'link' ? [part.href] : []));
const whole = (text: string, names: string[] = []) => parts(text, names).map(part => part.text).join('');

test('addresses become links, without the punctuation of their sentence', () => {
  assert.deepEqual(links('See https://example.com/a?b=c#d.'), ['https://example.com/a?b=c#d']);
  assert.deepEqual(links('(https://en.wikipedia.org/wiki/Tea_(drink)), www.example.org!'), ['https://en.wikipedia.org/wiki/Tea_(drink)', 'https://www.example.org/']);
  assert.deepEqual(links('http://localhost:3000/x'), ['http://localhost:3000/x']);
});

test('nothing but http and https becomes a link', () => {
  for (const text of ['javascript:alert(1)', 'data:text/html,<b>', 'JAVASCRIPT://www', 'ftp://example.com', 'https://', 'https://x', 'a@b.c']) {
    assert.deepEqual(links(text), [], text);
  }
});

test('the parts of a text are the text', () => {
  for (const text of ['<img src=x onerror=alert(1)>', 'a https://example.com b @Ann c\n\nd', '', '@', 'https://example.com', '🏳️‍🌈@Ann Lee@Ann']) {
    assert.equal(whole(text, ['Ann', 'Ann Lee']), text);
  }
});

test('the longest name of a mention counts', () => {
  const named = parts('Hi @Ann Lee and @Ann, not @Annabel Lee', ['Ann', 'Ann Lee']).filter(part => part.kind === 'mention');
  assert.deepEqual(named.map(part => part.text), ['@Ann Lee', '@Ann']);
});

test('a word behind an @ before the caret is looked up', () => {
  assert.deepEqual(mentionAt('Hi @an', 6), { start: 3, query: 'an' });
  assert.deepEqual(mentionAt('@', 1), { start: 0, query: '' });
  assert.deepEqual(mentionAt('@Zoë', 4), { start: 0, query: 'Zoë' });
  for (const text of ['mail@an', 'Hi @an ', 'Hi']) assert.equal(mentionAt(text, text.length), undefined, text);
});

test('one to three emoji alone are shown large', () => {
  for (const text of ['👍', '🎉 🎉', '👩‍👩‍👧', '🇳🇱', '❤️']) assert.ok(isEmojiOnly(text), text);
  for (const text of ['', '1', 'ok 👍', '👍👍👍👍', '#']) assert.ok(!isEmojiOnly(text), text);
});
