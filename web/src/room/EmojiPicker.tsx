import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { KeyboardEvent, RefObject } from 'react';
import { t } from '../strings.js';
import { place } from '../ui/Menu.js';
import { Spinner } from '../ui/parts.js';

interface Emoji {
  emoji: string;
  words: string;
}

const FREQUENT = '👍 ❤️ 😂 😮 😢 🙏 🎉 🔥 👏 😊 🤔 👀 ✅ 💯 🚀 😅'.split(' ');
const RECENT = 'coterie-emoji';
const MOST_FOUND = 120;

function recent(): string[] {
  try {
    const kept = JSON.parse(localStorage.getItem(RECENT) ?? '[]') as unknown;
    return Array.isArray(kept) ? kept.filter(each => typeof each === 'string').slice(0, 16) : [];
  } catch {
    return [];
  }
}

/** Those that somebody has chosen last, and common ones. */
export const frequent = (): string[] => [...new Set([...recent(), ...FREQUENT])].slice(0, 24);

function remember(emoji: string): void {
  try {
    localStorage.setItem(RECENT, JSON.stringify([...new Set([emoji, ...recent()])].slice(0, 16)));
  } catch {
    // Storage is forbidden: the common ones have to do.
  }
}

interface Props {
  /** What the picker stands beside; the focus goes back to it. */
  beside: RefObject<HTMLElement | null>;
  onPick: (emoji: string) => void;
  onClose: () => void;
}

/** All emoji, by groups or by their names. Arrow keys move, Enter takes one, Escape closes. */
export function EmojiPicker({ beside, onPick, onClose }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [groups, setGroups] = useState<Emoji[][]>();
  const [group, setGroup] = useState(-1);
  const [search, setSearch] = useState('');
  useEffect(() => {
    void import('virtual:emoji').then(({ default: lists }) => {
      setGroups(lists.map(list => list.split('\n').map(line => ({ emoji: line.split(' ', 1)[0]!, words: line }))));
    });
  }, []);
  useLayoutEffect(() => {
    place(box.current!, beside.current!);
    // On a phone the keyboard would cover it.
    box.current!.querySelector<HTMLElement>(matchMedia('(pointer: coarse)').matches ? '.emoji-grid button' : 'input')?.focus();
  }, [beside]);
  useEffect(() => {
    const away = (event: Event) => {
      if (!box.current?.contains(event.target as Node) && !beside.current?.contains(event.target as Node)) onClose();
    };
    addEventListener('pointerdown', away);
    return () => removeEventListener('pointerdown', away);
  });
  const query = search.trim().toLowerCase();
  const shown = useMemo((): Emoji[] => {
    if (query) return groups?.flat().filter(({ words }) => query.split(/\s+/).every(word => words.includes(word))).slice(0, MOST_FOUND) ?? [];
    if (group >= 0) return groups?.[group] ?? [];
    // Those used often, and below them the first group.
    const often = frequent();
    const named = new Map(groups?.flat().map(each => [each.emoji, each]));
    const others = groups?.[0]?.filter(({ emoji }) => !often.includes(emoji)) ?? [];
    return [...often.map(emoji => named.get(emoji) ?? { emoji, words: emoji }), ...others];
  }, [groups, group, query]);
  const pick = (emoji: string) => {
    remember(emoji);
    onPick(emoji);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    event.stopPropagation();
    if (event.key === 'Escape') {
      event.preventDefault();
      onClose();
      beside.current?.focus();
      return;
    }
    const grid = box.current!.querySelector('.emoji-grid');
    const all = [...(grid?.querySelectorAll<HTMLElement>('button') ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const inInput = document.activeElement?.tagName === 'INPUT';
    if (inInput && event.key === 'Enter') {
      event.preventDefault();
      if (query && shown[0]) pick(shown[0].emoji);
      return;
    }
    const columns = grid ? Math.max(1, Math.floor(grid.clientWidth / 38)) : 1;
    const step = { ArrowDown: inInput ? 1 : columns, ArrowUp: -columns, ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || (inInput && event.key !== 'ArrowDown') || (at < 0 && !inInput)) return;
    event.preventDefault();
    const to = at + step;
    if (to < 0) box.current!.querySelector('input')!.focus();
    else all[Math.min(to, all.length - 1)]?.focus();
  };
  const titles = [t.emoji.frequent, ...t.emoji.groups.filter(Boolean)];
  const icons = ['🕘', '😀', '👋', '🐻', '🍎', '🚗', '⚽', '💡', '🔣', '🏁'];
  return (
    <div ref={box} className="emoji-picker" popover="manual" role="dialog" aria-label={t.emoji.picker} onKeyDown={onKeyDown}>
      <input type="search" value={search} placeholder={t.emoji.search} aria-label={t.emoji.search} onChange={event => setSearch(event.currentTarget.value)} />
      {!query && (
        <div className="emoji-groups">
          {titles.map((title, index) => (
            <button key={title} type="button" aria-label={title} title={title} aria-pressed={group === index - 1} onClick={() => setGroup(index - 1)}>
              {icons[index]}
            </button>
          ))}
        </div>
      )}
      <div className="emoji-grid">
        {!groups && (query || group >= 0) && <Spinner />}
        {groups && query && !shown.length && <p className="hint">{t.emoji.none}</p>}
        {shown.map(({ emoji, words }, index) => (
          <button key={emoji} type="button" title={words.slice(emoji.length + 1) || emoji} aria-label={words} tabIndex={index ? -1 : 0} onClick={() => pick(emoji)}>{emoji}</button>
        ))}
      </div>
    </div>
  );
}
