import { useEffect, useState } from 'react';
import { useCoterie } from 'coterie/react';
import type { Failure, Message, Shown } from 'coterie';
import { failureOf } from '../app/errors.js';
import { hrefs } from '../app/router.js';
import { dateAndTime, short } from '../app/time.js';
import { preview } from '../chats/preview.js';
import { t } from '../strings.js';
import { PersonAvatar } from '../ui/Avatar.js';
import { Dialog } from '../ui/Dialog.js';
import { Failed, Spinner } from '../ui/parts.js';

/** What answers a message. Choosing one goes there. */
export function Replies({ message, close }: { message: Shown; close: () => void }) {
  const c = useCoterie();
  const [replies, setReplies] = useState<Message[]>();
  const [hasMore, setHasMore] = useState(false);
  const [after, setAfter] = useState(0);
  const [failure, setFailure] = useState<Failure>();
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isOver = false;
    c.api('get', '/api/messages/{messageId}/replies', { path: { messageId: message.messageId }, query: { after } }).then(
      page => {
        if (isOver) return;
        setFailure(undefined);
        setReplies(old => [...(old ?? []).filter(({ seq }) => seq <= after), ...page.messages]);
        setHasMore(page.hasMore);
      },
      (error: unknown) => !isOver && setFailure(failureOf(error)),
    );
    return () => {
      isOver = true;
    };
  }, [c, message.messageId, after, round]);
  return (
    <Dialog title={t.room.repliesTitle} onClose={close}>
      <p className="quote-text">{preview(message)}</p>
      {failure && <Failed failure={failure} retry={() => setRound(round + 1)} />}
      {!replies && !failure && <Spinner />}
      <MessageLinks messages={replies ?? []} onGo={close} />
      {hasMore && <button type="button" className="link" onClick={() => setAfter(replies!.at(-1)!.seq)}>{t.people.more}</button>}
    </Dialog>
  );
}

/** Messages that are not in their conversation, as links to it. */
export function MessageLinks({ messages, onGo, where }: { messages: Message[]; onGo?: () => void; where?: (roomId: number) => string | undefined }) {
  return (
    <ul className="rows">
      {messages.map(message => (
        <li key={message.messageId}>
          <a className="row" href={hrefs.message(message.messageId)} onClick={onGo}>
            <PersonAvatar userId={message.userId} name={message.name} size={40} />
            <span className="row-text">
              <span className="row-top">
                <span className="row-name">{message.name}</span>
                {where?.(message.roomId) && <span className="hint">{t.activity.in(where(message.roomId)!)}</span>}
                <time dateTime={message.createdAt} title={dateAndTime(message.createdAt)}>{short(message.createdAt)}</time>
              </span>
              <span className="row-bottom"><span className="row-line">{preview(message)}</span></span>
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}
