/** The text of a message in parts: links are made of what looks like an address, and nothing else is anything but text. */
export type Part = { kind: 'text'; text: string } | { kind: 'link'; text: string; href: string } | { kind: 'mention'; text: string };

const ADDRESS = /\b(?:https?:\/\/|www\.)[^\s<>"'`{}|\\^]+/giu;

/** Without the full stop of the sentence, or a bracket that was opened before the address. */
function trimmed(address: string): string {
  let end = address;
  for (;;) {
    const last = end.at(-1) ?? '';
    const opens = { ')': '(', ']': '[' }[last];
    if (opens ? end.split(opens).length < end.split(last).length : /[.,;:!?*_~]/.test(last)) end = end.slice(0, -1);
    else return end;
  }
}

function link(text: string): string | undefined {
  try {
    const url = new URL(/^www\./i.test(text) ? `https://${text}` : text);
    const { protocol, hostname, href } = url;
    return /^https?:$/.test(protocol) && (hostname.includes('.') || hostname === 'localhost') ? href : undefined;
  } catch {
    return undefined;
  }
}

/** Splits a text; `names` are those whom the message mentions. */
export function parts(text: string, names: string[] = []): Part[] {
  const found: Part[] = [];
  let at = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = trimmed(match[0]);
    const href = link(address);
    if (!href) continue;
    found.push(...mentions(text.slice(at, match.index), names), { kind: 'link', text: address, href });
    at = match.index + address.length;
  }
  return [...found, ...mentions(text.slice(at), names)];
}

function mentions(text: string, names: string[]): Part[] {
  if (!text) return [];
  // The longest name first: "@Ann Lee" is not "@Ann".
  const marks = names.map(name => `@${name}`).sort((a, b) => b.length - a.length);
  const found: Part[] = [];
  let plain = '';
  for (let at = 0; at < text.length; ) {
    const mark = text[at] === '@' && marks.find(each => text.startsWith(each, at) && !/[\p{L}\p{N}]/u.test(text[at + each.length] ?? ''));
    if (mark) {
      if (plain) found.push({ kind: 'text', text: plain });
      found.push({ kind: 'mention', text: mark });
      plain = '';
      at += mark.length;
    } else plain += text[at++];
  }
  if (plain) found.push({ kind: 'text', text: plain });
  return found;
}

const segments = new Intl.Segmenter();

/** Whether a message is one to three emoji and nothing else: it is shown large. */
export function isEmojiOnly(text: string): boolean {
  if (text.length > 40 || !/\p{Extended_Pictographic}|\p{Regional_Indicator}/u.test(text)) return false;
  const all = [...segments.segment(text.replace(/\s/g, ''))];
  return all.length <= 3 && all.every(({ segment }) => /^(\p{Extended_Pictographic}|\p{Regional_Indicator}{2})/u.test(segment));
}

/** The word behind an `@` that ends at the caret, or undefined. */
export function mentionAt(text: string, caret: number): { start: number; query: string } | undefined {
  const match = /(?:^|[\s(])@([\p{L}\p{N}\p{M}._-]{0,40})$/u.exec(text.slice(0, caret));
  return match ? { start: caret - match[1]!.length - 1, query: match[1]! } : undefined;
}
