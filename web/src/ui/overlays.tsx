/** What appears above the page whoever asks for it: short notices, questions before something is done, profiles. */
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import { useObservable } from 'coterie/react';
import { explain, failureOf } from '../app/errors.js';
import { Store } from '../app/store.js';
import { t } from '../strings.js';
import { Button, IconButton } from './Button.js';
import { Dialog } from './Dialog.js';

interface Notice {
  id: number;
  text: string;
  isError: boolean;
}

const notices = new Store<Notice[]>([]);
let count = 0;
const drop = (id: number) => notices.set(notices.snapshot().filter(notice => notice.id !== id));

/** Tells something in passing. Errors stay until they are closed. */
export function tell(text: string, isError = false): void {
  const id = ++count;
  notices.set([...notices.snapshot().filter(notice => notice.text !== text), { id, text, isError }].slice(-3));
  if (!isError) setTimeout(() => drop(id), 5000);
}

export const tellFailure = (error: unknown): void => tell(explain(failureOf(error)), true);

/** Does something that may fail, and shows the error if it does. Returns whether it was done. */
export async function attempt(act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    tellFailure(error);
    return false;
  }
}

interface Question {
  title: string;
  hint?: string;
  yes: string;
  answer: (yes: boolean) => void;
}

const question = new Store<Question | null>(null);

/** Asks before something that cannot be undone. */
export function ask(title: string, yes: string, hint?: string): Promise<boolean> {
  return new Promise(resolve => {
    question.set({
      title,
      yes,
      hint,
      answer: agreed => {
        question.set(null);
        resolve(agreed);
      },
    });
  });
}

const dialog = new Store<((close: () => void) => ReactNode) | null>(null);
/** Shows a dialog until it closes itself. */
export const show = (render: (close: () => void) => ReactNode): void => dialog.set(render);
export const hide = (): void => dialog.set(null);

export function Overlays() {
  const shown = useObservable(dialog);
  const asked = useObservable(question);
  const [told, setTold] = useState(notices.snapshot());
  useEffect(() => notices.subscribe(setTold), []);
  return (
    <>
      {shown?.(hide)}
      {asked && (
        <Dialog title={asked.title} onClose={() => asked.answer(false)} className="small">
          {asked.hint && <p>{asked.hint}</p>}
          <div className="dialog-actions">
            <Button onClick={() => asked.answer(false)}>{t.cancel}</Button>
            <Button kind="danger" autoFocus onClick={() => asked.answer(true)}>{asked.yes}</Button>
          </div>
        </Dialog>
      )}
      <div className="notices" role="status">
        {told.map(({ id, text, isError }) => (
          <div key={id} className={isError ? 'notice bad' : 'notice'}>
            <span>{text}</span>
            <IconButton icon="close" label={t.close} size={16} onClick={() => drop(id)} />
          </div>
        ))}
      </div>
    </>
  );
}
