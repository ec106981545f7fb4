import { useEffect, useState } from 'react';
import { useCoterie, useObservable } from 'coterie/react';
import type { Failure, Profile } from 'coterie';
import { failureOf } from '../app/errors.js';
import { friends } from '../app/lists.js';
import { learn } from '../app/people.js';
import { t } from '../strings.js';
import { PersonAvatar } from '../ui/Avatar.js';
import { Icon } from '../ui/Icon.js';
import { Failed, Spinner } from '../ui/parts.js';

const PAGE = 30;
/** How long somebody types before the service is asked. */
const PAUSE = 250;

/** People of the organization who fit what is typed, a page after the other; without the user. */
export function useSearch(text: string) {
  const c = useCoterie();
  const [found, setFound] = useState<{ people: Profile[]; page: number; pages: number; for: string }>();
  const [failure, setFailure] = useState<Failure>();
  const [page, setPage] = useState(1);
  const [round, setRound] = useState(0);
  const q = text.trim().slice(0, 100);
  useEffect(() => setPage(1), [q]);
  useEffect(() => {
    let isOver = false;
    const timer = setTimeout(() => {
      c.api('get', '/users', { query: { page, pageSize: PAGE, ...(q ? { q } : {}) } }).then(
        ({ data, pages }) => {
          if (isOver) return;
          const people = data;
          learn(...people);
          setFailure(undefined);
          setFound(old => ({ people: [...(page > 1 && old ? old.people : []), ...people], page, pages, for: q }));
        },
        (error: unknown) => !isOver && setFailure(failureOf(error)),
      );
    }, page > 1 || !q ? 0 : PAUSE);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [c, q, page, round]);
  const me = c.user.snapshot()?.userId;
  return {
    people: found?.people.filter(({ userId }) => userId !== me),
    failure,
    more: found && found.page < found.pages ? () => setPage(found.page + 1) : undefined,
    retry: () => setRound(round + 1),
  };
}

interface Props {
  chosen: Profile[];
  onChange: (chosen: Profile[]) => void;
  /** Whether one is enough: choosing another one replaces it. */
  single?: boolean;
  /** Those who cannot be chosen. */
  without?: string[];
  autoFocus?: boolean;
}

/** Chooses people: friends first, others by searching. */
export function Picker({ chosen, onChange, single, without = [], autoFocus }: Props) {
  const [text, setText] = useState('');
  const { people, failure, more, retry } = useSearch(text);
  const known = useObservable(friends).data ?? [];
  const isChosen = (userId: string) => chosen.some(person => person.userId === userId);
  const toggle = (person: Profile) => {
    if (single) onChange([person]);
    else onChange(isChosen(person.userId) ? chosen.filter(({ userId }) => userId !== person.userId) : [...chosen, person]);
  };
  const listed = people && (text.trim() ? people : [...known, ...people.filter(({ userId }) => !known.some(friend => friend.userId === userId))]);
  const offered = listed?.filter(({ userId }) => !without.includes(userId));
  return (
    <div className="picker">
      {!single && chosen.length > 0 && (
        <ul className="chosen" aria-label={t.people.chosen(chosen.length)}>
          {chosen.map(person => (
            <li key={person.userId}>
              <button type="button" onClick={() => toggle(person)} aria-label={t.people.unpick(person.name)}>
                {person.name}<Icon name="close" size={14} />
              </button>
            </li>
          ))}
        </ul>
      )}
      <div className="search">
        <Icon name="search" size={18} />
        <input type="search" value={text} placeholder={t.people.find} aria-label={t.people.find} maxLength={100} autoFocus={autoFocus} onChange={event => setText(event.currentTarget.value)} />
      </div>
      {failure && <Failed failure={failure} retry={retry} />}
      {!offered && !failure && <Spinner />}
      {offered?.length === 0 && <p className="hint">{t.people.findEmpty}. {t.people.findEmptyHint}</p>}
      <ul className="options">
        {offered?.map(person => (
          <li key={person.userId}>
            <button type="button" aria-pressed={isChosen(person.userId)} onClick={() => toggle(person)}>
              <PersonAvatar userId={person.userId} name={person.name} size={36} />
              <span className="option-text"><span>{person.name}</span><span className="hint">{person.username ?? person.userId}</span></span>
              {isChosen(person.userId) && <Icon name="check" size={18} />}
            </button>
          </li>
        ))}
        {more && <li><button type="button" className="link" onClick={more}>{t.people.more}</button></li>}
      </ul>
    </div>
  );
}
