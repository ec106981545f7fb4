import { useId, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { ClipboardEvent, KeyboardEvent } from 'react';
import { useCoterie } from 'coterie/react';
import type { Member, Shown } from 'coterie';
import { bytes } from '../app/util.js';
import { duration } from '../app/time.js';
import { preview } from '../chats/preview.js';
import { t } from '../strings.js';
import { PersonAvatar } from '../ui/Avatar.js';
import { IconButton } from '../ui/Button.js';
import { Icon } from '../ui/Icon.js';
import { attempt, tell } from '../ui/overlays.js';
import { useBlobUrl } from './Attachment.js';
import { draftOf, keepDraft } from './drafts.js';
import { EmojiPicker } from './EmojiPicker.js';
import { mentionAt } from './text.js';

/** The largest file, and the longest message, that the service takes. */
const LARGEST = 25 * 1024 * 1024;
const LONGEST = 8000;
const SUGGESTIONS = 6;

export interface Chosen {
  id: number;
  file: File;
}

let count = 0;
/** Those that can be sent; of the others it tells why not. */
export function choose(files: Iterable<File>): Chosen[] {
  return [...files].flatMap(file => {
    if (file.size > LARGEST) tell(t.composer.tooLarge(file.name), true);
    else if (!file.size) tell(t.composer.emptyFile(file.name), true);
    else return [{ id: ++count, file }];
    return [];
  });
}

interface Props {
  roomId: number;
  name: string;
  members: Member[];
  mayMentionAll: boolean;
  /** The seconds between two messages of this user; 0 for as often as they like. */
  pause: number;
  replyTo: Shown | undefined;
  editing: Shown | undefined;
  files: Chosen[];
  onFiles: (files: Chosen[]) => void;
  onDone: () => void;
  onEditLast: () => void;
}

interface Suggestion {
  userId: string | undefined;
  name: string;
  hint: string;
}

/** Where somebody writes: text, files, answers, changes. */
export function Composer({ roomId, name, members, mayMentionAll, pause, replyTo, editing, files, onFiles, onDone, onEditLast }: Props) {
  const c = useCoterie();
  const room = c.room(roomId);
  const [text, setText] = useState(() => draftOf(roomId));
  const [caret, setCaret] = useState(0);
  const [picks, setPicks] = useState(false);
  const [chosen, setChosen] = useState(0);
  const [dismissed, setDismissed] = useState<number>();
  const area = useRef<HTMLTextAreaElement>(null);
  const emojiButton = useRef<HTMLButtonElement>(null);
  const fileInput = useRef<HTMLInputElement>(null);
  const mentioned = useRef(new Map<string, string>());
  const listId = useId();
  const me = c.user.snapshot()?.userId;

  // What is edited takes the place of the draft, which comes back afterwards.
  useLayoutEffect(() => {
    mentioned.current.clear();
    if (editing) for (const id of editing.mentions) mentioned.current.set(id, members.find(({ userId }) => userId === id)?.name ?? id);
    const next = editing ? editing.content : draftOf(roomId);
    setText(next);
    setCaret(next.length);
    // Only another message to edit replaces what is written.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [editing?.key, roomId]);
  const opened = useRef(false);
  useLayoutEffect(() => {
    // On a phone the keyboard would cover the conversation.
    if (opened.current || editing || replyTo || !matchMedia('(pointer: coarse)').matches) area.current?.focus();
    opened.current = true;
  }, [editing, replyTo]);
  useLayoutEffect(() => {
    const box = area.current!;
    box.style.height = 'auto';
    box.style.height = `${box.scrollHeight}px`;
  }, [text]);

  const write = (next: string, at: number) => {
    setText(next);
    setCaret(at);
    if (!editing) {
      keepDraft(roomId, next);
      if (next.trim()) room.startTyping();
      else room.stopTyping();
    }
  };
  const insert = (piece: string, from: number, to: number) => {
    const next = text.slice(0, from) + piece + text.slice(to);
    write(next, from + piece.length);
    requestAnimationFrame(() => {
      area.current?.focus();
      area.current?.setSelectionRange(from + piece.length, from + piece.length);
    });
  };

  // --- Mentions ---------------------------------------------------------------------------------------------------
  const mention = mentionAt(text, caret);
  const suggestions = useMemo((): Suggestion[] => {
    if (!mention || mention.start === dismissed) return [];
    const query = mention.query.toLocaleLowerCase();
    const fits = (words: string) => words.toLocaleLowerCase().split(/\s+/).some(word => word.startsWith(query)) || words.toLocaleLowerCase().startsWith(query);
    const people = members.filter(member => member.userId !== me && (fits(member.name) || fits(member.userId)));
    const all = mayMentionAll && t.composer.everybody.startsWith(query) ? [{ userId: undefined, name: t.composer.everybody, hint: t.composer.everybodyHint }] : [];
    return [...people.map(({ userId, name }) => ({ userId, name, hint: userId })).slice(0, SUGGESTIONS), ...all];
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [mention?.start, mention?.query, members, mayMentionAll, dismissed, me]);
  const at = Math.min(chosen, suggestions.length - 1);
  const take = (suggestion: Suggestion) => {
    if (suggestion.userId) mentioned.current.set(suggestion.userId, suggestion.name);
    insert(`@${suggestion.name} `, mention!.start, caret);
    setChosen(0);
  };

  // --- Sending ----------------------------------------------------------------------------------------------------
  const over = [...text].length - LONGEST;
  const canSend = over <= 0 && (editing ? !!text.trim() || editing.kind === 'file' : !!text.trim() || files.length > 0);
  const send = () => {
    if (!canSend) return;
    const content = text.trim();
    const mentions = [...mentioned.current].filter(([, name]) => content.includes(`@${name}`)).map(([userId]) => userId).slice(0, 20);
    const mentionsAll = mayMentionAll && content.includes(`@${t.composer.everybody}`);
    if (editing) {
      if (content !== editing.content) void attempt(() => room.edit(editing.messageId, content, { mentions, mentionsAll }));
      onDone();
      return;
    }
    // The text goes with a single file, and before several.
    const isCaption = files.length === 1 && !replyTo && !mentions.length && !mentionsAll;
    if (content && !isCaption) {
      room.send(content, { ...(replyTo ? { replyTo: replyTo.messageId } : {}), ...(mentions.length ? { mentions } : {}), ...(mentionsAll ? { mentionsAll } : {}) });
    }
    for (const { file } of files) room.sendFile(file, isCaption && content ? { caption: content } : {});
    write('', 0);
    mentioned.current.clear();
    onFiles([]);
    onDone();
    area.current?.focus();
  };

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing) return;
    if (suggestions.length) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) setChosen((at + step + suggestions.length) % suggestions.length);
      else if (event.key === 'Enter' || event.key === 'Tab') take(suggestions[at]!);
      else if (event.key === 'Escape') setDismissed(mention!.start);
      else return;
      event.preventDefault();
      return;
    }
    if (event.key === 'Enter' && !event.shiftKey && !matchMedia('(pointer: coarse)').matches) {
      event.preventDefault();
      send();
    } else if (event.key === 'Escape' && (replyTo ?? editing)) onDone();
    else if (event.key === 'ArrowUp' && !text && !editing) {
      event.preventDefault();
      onEditLast();
    }
  };
  const onPaste = (event: ClipboardEvent) => {
    const pasted = [...(event.clipboardData?.files ?? [])];
    if (!pasted.length || editing) return;
    event.preventDefault();
    onFiles([...files, ...choose(pasted)]);
  };

  return (
    <form
      className="composer"
      onSubmit={event => {
        event.preventDefault();
        send();
      }}
    >
      {(editing ?? replyTo) && (
        <div className="context">
          <Icon name={editing ? 'edit' : 'reply'} size={18} />
          <span className="context-text">
            <span className="quote-name">{editing ? t.composer.editing : t.composer.replyingTo(replyTo!.name)}</span>
            <span className="quote-text">{preview((editing ?? replyTo)!)}</span>
          </span>
          <IconButton icon="close" size={18} label={editing ? t.composer.stopEdit : t.composer.stopReply} onClick={onDone} />
        </div>
      )}
      {files.length > 0 && (
        <ul className="chosen-files" aria-label={t.composer.files}>
          {files.map(({ id, file }) => <ChosenFile key={id} file={file} onRemove={() => onFiles(files.filter(each => each.id !== id))} />)}
        </ul>
      )}
      {suggestions.length > 0 && (
        <ul className="suggestions" role="listbox" id={listId} aria-label={t.composer.mentions}>
          {suggestions.map((suggestion, index) => (
            <li
              key={suggestion.userId ?? ''}
              id={`${listId}-${index}`}
              role="option"
              aria-selected={index === at}
              onMouseDown={event => {
                event.preventDefault();
                take(suggestion);
              }}
            >
              {suggestion.userId ? <PersonAvatar userId={suggestion.userId} name={suggestion.name} size={28} /> : <Icon name="people" />}
              <span>{suggestion.name}</span>
              <span className="hint">{suggestion.hint}</span>
            </li>
          ))}
        </ul>
      )}
      <div className="composer-row">
        {!editing && (
          <>
            <IconButton icon="attach" label={t.composer.attach} onClick={() => fileInput.current!.click()} />
            <input
              ref={fileInput}
              type="file"
              multiple
              hidden
              aria-label={t.composer.attach}
              onChange={event => {
                onFiles([...files, ...choose(event.currentTarget.files ?? [])]);
                event.currentTarget.value = '';
              }}
            />
          </>
        )}
        <textarea
          ref={area}
          rows={1}
          value={text}
          dir="auto"
          placeholder={t.composer.placeholder(name)}
          aria-label={t.composer.label}
          aria-autocomplete="list"
          role="combobox"
          aria-expanded={suggestions.length > 0}
          aria-controls={suggestions.length ? listId : undefined}
          aria-activedescendant={suggestions.length ? `${listId}-${at}` : undefined}
          aria-invalid={over > 0 ? true : undefined}
          onChange={event => write(event.currentTarget.value, event.currentTarget.selectionEnd)}
          onSelect={event => setCaret(event.currentTarget.selectionEnd)}
          onKeyDown={onKeyDown}
          onPaste={onPaste}
          onBlur={() => room.stopTyping()}
        />
        <IconButton ref={emojiButton} icon="emoji" label={t.composer.emoji} className="composer-emoji" onClick={() => setPicks(!picks)} />
        <IconButton icon={editing ? 'check' : 'send'} label={editing ? t.composer.save : t.composer.send} type="submit" className="filled" disabled={!canSend} />
      </div>
      {over > 0 && <p className="error" role="alert">{t.composer.tooLong(over)}</p>}
      {pause > 0 && <p className="hint">{t.composer.slow(duration(pause))}</p>}
      {picks && (
        <EmojiPicker
          beside={emojiButton}
          onClose={() => setPicks(false)}
          onPick={emoji => {
            setPicks(false);
            insert(emoji, caret, caret);
          }}
        />
      )}
    </form>
  );
}

function ChosenFile({ file, onRemove }: { file: File; onRemove: () => void }) {
  const url = useBlobUrl(file.type.startsWith('image/') ? file : undefined);
  return (
    <li>
      {url ? <img src={url} alt="" /> : <Icon name="file" size={28} />}
      <span className="file-text"><span className="file-name">{file.name}</span><span className="file-size">{bytes(file.size)}</span></span>
      <IconButton icon="close" size={16} label={t.composer.removeFile(file.name)} onClick={onRemove} />
    </li>
  );
}
