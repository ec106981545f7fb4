import { memo, useRef, useState } from 'react';
import type { Chat, Member, Shown } from 'coterie';
import { useCoterie, useObservable } from 'coterie/react';
import { explain } from '../app/errors.js';
import { usePerson } from '../app/people.js';
import { go, hrefs } from '../app/router.js';
import { dateAndTime, time } from '../app/time.js';
import { classes } from '../app/util.js';
import { preview } from '../chats/preview.js';
import { showProfile } from '../people/profile.js';
import { t } from '../strings.js';
import { PersonAvatar } from '../ui/Avatar.js';
import { IconButton } from '../ui/Button.js';
import { Icon } from '../ui/Icon.js';
import { Menu } from '../ui/Menu.js';
import { ask, attempt, show, tell } from '../ui/overlays.js';
import { Attachment } from './Attachment.js';
import { EmojiPicker } from './EmojiPicker.js';
import { Replies } from './Replies.js';
import { isEmojiOnly, parts } from './text.js';

/** What a message needs of its room. */
export interface Scene {
  room: Chat['room'];
  me: string;
  mayDeleteOthers: boolean;
  /** Names of members, by their `userId`. */
  names: Map<string, string>;
  onReply: (message: Shown) => void;
  onEdit: (message: Shown) => void;
}

interface Props {
  scene: Scene;
  message: Shown;
  /** Whether the one before is by the same person and of the same minutes. */
  follows: boolean;
  /** How many others have read it; undefined where nobody tells. */
  readBy: number | undefined;
  isActive: boolean;
  isTarget: boolean;
  onActive: (key: string) => void;
}

export const Message = memo(function Message({ scene, message, follows, readBy, isActive, isTarget, onActive }: Props) {
  const { key, userId, kind, status, deleted } = message;
  const isMine = userId === scene.me;
  if (kind === 'system') return <System message={message} />;
  const showsName = !isMine && !follows && scene.room.kind !== 'direct';
  const named = message.mentionsAll || message.mentions.includes(scene.me);
  return (
    <article
      className={classes('message', isMine ? 'mine' : 'theirs', follows && 'follows', isActive && 'active', isTarget && 'target', named && !isMine && 'named', status === 'failed' && 'failed')}
      tabIndex={isActive ? 0 : -1}
      data-key={key}
      aria-label={`${isMine ? t.you : message.name}, ${dateAndTime(message.createdAt)}`}
      onFocus={() => onActive(key)}
      onClick={() => onActive(key)}
    >
      {!isMine && scene.room.kind !== 'direct' && (
        <span className="message-avatar">
          {!follows && (
            <button type="button" className="plain" tabIndex={-1} aria-label={`${t.people.profile}: ${message.name}`} onClick={() => showProfile(userId)}>
              <PersonAvatar userId={userId} name={message.name} size={36} presence={false} />
            </button>
          )}
        </span>
      )}
      <div className="message-main">
        {showsName && <Author userId={userId} name={message.name} />}
        <div className="bubble-line">
          <div className={classes('bubble', !message.quoted && !message.attachment && isEmojiOnly(message.content) && 'large')}>
            {message.quoted && <Quote message={message} />}
            {!message.quoted && message.replyTo && status !== 'sent' && <PendingQuote roomId={scene.room.id} replyTo={message.replyTo} />}
            {deleted ? <p className="gone"><Icon name="trash" size={14} />{t.room.deleted}</p> : <Content scene={scene} message={message} />}
            <Meta message={message} isMine={isMine} readBy={readBy} />
          </div>
          {status !== 'failed' && status !== 'sending' && <Tools scene={scene} message={message} isMine={isMine} isActive={isActive} />}
        </div>
        {status === 'failed' && <Refused message={message} />}
        <Reactions message={message} isActive={isActive} />
        {message.replyCount > 0 && (
          <button type="button" className="replies" tabIndex={isActive ? 0 : -1} onClick={() => show(close => <Replies message={message} close={close} />)}>
            <Icon name="reply" size={14} />{t.room.replies(message.replyCount)}
          </button>
        )}
      </div>
    </article>
  );
});

function Author({ userId, name }: { userId: string; name: string }) {
  const person = usePerson(userId, name);
  return <span className="author">{person.name}</span>;
}

function System({ message: { name, content, createdAt } }: { message: Shown }) {
  return (
    <p className="system">
      {t.system[content]?.(name) ?? content} <time dateTime={createdAt}>{time(createdAt)}</time>
    </p>
  );
}

function Content({ scene, message }: { scene: Scene; message: Shown }) {
  const { content, isEncrypted, mentions, mentionsAll } = message;
  if (isEncrypted) return <p className="gone"><Icon name="lock" size={14} />{t.room.encrypted}</p>;
  const names = [...mentions.map(userId => scene.names.get(userId) ?? userId), ...(mentionsAll ? [t.composer.everybody] : [])];
  return (
    <>
      <Attachment message={message} />
      {content && (
        <p className="content" dir="auto">
          {parts(content, names).map((part, index) => {
            if (part.kind === 'link') return <a key={index} href={part.href} target="_blank" rel="noopener noreferrer nofollow">{part.text}</a>;
            return part.kind === 'mention' ? <strong key={index} className="mention">{part.text}</strong> : part.text;
          })}
        </p>
      )}
    </>
  );
}

function Quote({ message: { quoted } }: { message: Shown }) {
  const { messageId, name } = quoted!;
  return (
    <button type="button" className="quote" tabIndex={-1} aria-label={`${t.room.quoted(name)}. ${t.room.goTo}`} onClick={() => go(hrefs.message(messageId))}>
      <span className="quote-name">{name}</span>
      <span className="quote-text">{preview(quoted!)}</span>
    </button>
  );
}

/** A reply that is under way does not have what it answers yet. */
function PendingQuote({ roomId, replyTo }: { roomId: number; replyTo: string }) {
  const { items } = useObservable(useCoterie().room(roomId).messages);
  const answered = items.find(({ messageId }) => messageId === replyTo);
  if (!answered) return null;
  return <span className="quote"><span className="quote-name">{answered.name}</span><span className="quote-text">{preview(answered)}</span></span>;
}

function Meta({ message, isMine, readBy }: { message: Shown; isMine: boolean; readBy: number | undefined }) {
  const { createdAt, editedAt, status, deleted } = message;
  return (
    <span className="meta">
      {editedAt && !deleted && <span>{t.room.edited}</span>}
      <time dateTime={createdAt} title={dateAndTime(createdAt)}>{time(createdAt)}</time>
      {isMine && <Status status={status} readBy={readBy} />}
    </span>
  );
}

function Status({ status, readBy }: { status: Shown['status']; readBy: number | undefined }) {
  if (status === 'failed') return <span className="status failed" role="img" aria-label={t.room.failed}><Icon name="alert" size={14} /></span>;
  if (status === 'sending') return <span className="status" role="img" aria-label={t.room.sending}><Icon name="clock" size={14} /></span>;
  const label = readBy ? t.room.readBy(readBy) : t.room.sent;
  return <span className={classes('status', !!readBy && 'read')} role="img" aria-label={label} title={label}><Icon name={readBy ? 'checks' : 'check'} size={14} /></span>;
}

function Refused({ message }: { message: Shown }) {
  const c = useCoterie();
  const room = c.room(message.roomId);
  return (
    <p className="refused" role="alert">
      <span>{t.room.failed} {message.failure && explain(message.failure)}</span>
      <button type="button" className="link" onClick={() => room.retry(message.key)}>{t.room.retry}</button>
      <button type="button" className="link" onClick={() => room.discard(message.key)}>{t.room.discard}</button>
    </p>
  );
}

function Reactions({ message, isActive }: { message: Shown; isActive: boolean }) {
  const c = useCoterie();
  if (!message.reactions.length) return null;
  return (
    <div className="reactions">
      {message.reactions.map(({ reaction, count, mine }) => (
        <button
          key={reaction}
          type="button"
          aria-pressed={mine}
          aria-label={t.room.reaction(reaction, count, mine)}
          tabIndex={isActive ? 0 : -1}
          onClick={() => void attempt(() => c.room(message.roomId).react(message.messageId, reaction))}
        >
          <span>{reaction}</span> {count}
        </button>
      ))}
    </div>
  );
}

function Tools({ scene, message, isMine, isActive }: { scene: Scene; message: Shown; isMine: boolean; isActive: boolean }) {
  const c = useCoterie();
  const [picks, setPicks] = useState(false);
  const [menu, setMenu] = useState(false);
  const reactButton = useRef<HTMLButtonElement>(null);
  const room = c.room(scene.room.id);
  const { messageId, deleted } = message;
  const mayDelete = !deleted && (isMine || scene.mayDeleteOthers);
  const tabIndex = isActive ? 0 : -1;
  const copy = (text: string) => navigator.clipboard.writeText(text).then(() => tell(t.room.copied), () => tell(t.room.copyFailed, true));
  const remove = async () => {
    if (await ask(t.room.deleteAsk, t.room.delete, t.room.deleteHint)) await attempt(() => room.remove(messageId));
  };
  return (
    <div className={classes('tools', (picks || menu) && 'open')}>
      {!deleted && <IconButton ref={reactButton} icon="emoji" size={18} label={t.room.react} tabIndex={tabIndex} data-act="react" onClick={() => setPicks(!picks)} />}
      <IconButton icon="reply" size={18} label={t.room.reply} tabIndex={tabIndex} data-act="reply" onClick={() => scene.onReply(message)} />
      <Menu
        label={t.room.actions}
        tabIndex={tabIndex}
        className="icon-button more"
        onToggle={setMenu}
        items={[
          { label: t.room.reply, icon: 'reply', act: () => scene.onReply(message) },
          isMine && !deleted && !message.isEncrypted && { label: t.room.edit, icon: 'edit', act: () => scene.onEdit(message) },
          !!message.content && !message.isEncrypted && { label: t.room.copy, icon: 'copy', act: () => void copy(message.content) },
          { label: t.room.copyLink, icon: 'link', act: () => void copy(new URL(hrefs.message(messageId), location.href).href) },
          mayDelete && { label: t.room.delete, icon: 'trash', danger: true, act: () => void remove() },
        ]}
      />
      {picks && (
        <EmojiPicker
          beside={reactButton}
          onClose={() => setPicks(false)}
          onPick={emoji => {
            setPicks(false);
            reactButton.current?.focus();
            void attempt(() => room.react(messageId, emoji, true));
          }}
        />
      )}
    </div>
  );
}

/** How many of the others have read a message, as far as the service tells. */
export function readers(members: Member[], reads: Record<string, number>, me: string, seq: number): number | undefined {
  if (!members.length || members.every(({ readSeq }) => readSeq === null)) return undefined;
  return members.filter(({ userId, readSeq }) => userId !== me && Math.max(readSeq ?? 0, reads[userId] ?? 0) >= seq).length;
}
