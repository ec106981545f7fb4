import { useEffect, useState } from 'react';
import { useCoterie, useRooms } from 'coterie/react';
import type { Answer, Failure, paths } from 'coterie';
import { failureOf } from '../app/errors.js';
import { useMe } from '../app/people.js';
import { go, hrefs } from '../app/router.js';
import { day } from '../app/time.js';
import { createChannel, joinChannel } from '../chats/dialogs.js';
import { t } from '../strings.js';
import { Button } from '../ui/Button.js';
import { Icon } from '../ui/Icon.js';
import { Empty, Failed, Spinner } from '../ui/parts.js';

type Channel = Answer<paths['/api/chat']['get']>['data'][number];

/** All channels of the organization. */
export function ChannelsPage() {
  const c = useCoterie();
  const me = useMe();
  const rooms = useRooms();
  const [channels, setChannels] = useState<Channel[]>();
  const [page, setPage] = useState({ at: 1, round: 0 });
  const [pages, setPages] = useState(1);
  const [failure, setFailure] = useState<Failure>();
  useEffect(() => {
    let isOver = false;
    c.api('get', '/api/chat', { query: { page: page.at, pageSize: 100 } }).then(
      list => {
        if (isOver) return;
        setFailure(undefined);
        setPages(list.pages);
        setChannels(old => [...(page.at > 1 && old ? old : []), ...list.data]);
      },
      (error: unknown) => !isOver && setFailure(failureOf(error)),
    );
    return () => {
      isOver = true;
    };
  }, [c, page]);
  useEffect(() => {
    const ends = [
      c.on('newChatRoom', () => setPage(({ round }) => ({ at: 1, round: round + 1 }))),
      c.on('roomDeleted', ({ roomId }) => setChannels(old => old?.filter(({ id }) => id !== roomId))),
    ];
    return () => ends.forEach(end => end());
  }, [c]);
  const joined = new Set(rooms.map(({ chatId }) => chatId));
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>{t.channels.title}</h1>
          <p className="hint">{t.channels.hint}</p>
        </div>
        {me.role !== 'user' && <Button kind="primary" icon="new" onClick={createChannel}>{t.channels.create}</Button>}
      </div>
      {failure && <Failed failure={failure} retry={() => setPage({ ...page, round: page.round + 1 })} />}
      {!channels && !failure && <Spinner />}
      {channels?.length === 0 && <Empty icon="channels" title={t.channels.empty} hint={t.channels.emptyHint} />}
      {channels && channels.length > 0 && (
        <ul className="cards">
          {channels.map(({ id, name, createdAt }) => (
            <li className="card-row" key={id}>
              <span className="avatar square size-44 hue-2" aria-hidden="true"><Icon name="channels" /></span>
              <span className="option-text"><span>{name}</span><span className="hint">{joined.has(id) ? t.channels.joined : t.channels.created(day(createdAt))}</span></span>
              {joined.has(id) ? <Button aria-label={`${t.channels.open}: ${name}`} onClick={() => go(hrefs.room(id))}>{t.channels.open}</Button> : <Button kind="primary" aria-label={`${t.channels.join}: ${name}`} onClick={() => void joinChannel(c, id)}>{t.channels.join}</Button>}
            </li>
          ))}
        </ul>
      )}
      {page.at < pages && <Button kind="quiet" onClick={() => setPage({ at: page.at + 1, round: 0 })}>{t.people.more}</Button>}
    </div>
  );
}
