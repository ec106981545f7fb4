/** Small parts that every screen uses. */
import { useId, useState } from 'react';
import type { KeyboardEvent, ReactNode, SyntheticEvent } from 'react';
import type { Failure } from 'coterie';
import { explain, failureOf } from '../app/errors.js';
import { t } from '../strings.js';
import { Button } from './Button.js';
import { Icon } from './Icon.js';
import type { IconName } from './Icon.js';

export function Empty({ icon, title, hint, children }: { icon: IconName; title: string; hint?: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <span className="empty-icon"><Icon name={icon} size={32} /></span>
      <h2>{title}</h2>
      {hint && <p>{hint}</p>}
      {children}
    </div>
  );
}

export function Spinner() {
  return <div className="spinner" role="status" aria-label={t.loading} />;
}

/** Something that could not be loaded. */
export function Failed({ failure, retry }: { failure: Failure; retry: () => void }) {
  return (
    <div className="load-failed" role="alert">
      <p>{explain(failure)}</p>
      <Button onClick={retry}>{t.retry}</Button>
    </div>
  );
}

export function Badge({ count, kind, label }: { count: number; kind?: 'mention' | 'muted'; label?: string }) {
  if (!count) return null;
  return (
    <span className={`badge ${kind ?? ''}`}>
      <span aria-hidden={label ? true : undefined}>{kind === 'mention' ? `@${t.most(count)}` : t.most(count)}</span>
      {label && <span className="hidden-text">{label}</span>}
    </span>
  );
}

/** A form: what it does when it is sent, whether it does it now, and what went wrong. */
export function useForm(act: () => Promise<unknown>) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const onSubmit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setFailure(undefined);
    act()
      .catch((error: unknown) => setFailure(failureOf(error)))
      .finally(() => setBusy(false));
  };
  return { busy, failure, onSubmit };
}

/** What went wrong with a form, unless its fields say it. */
export function FormError({ failure, fields = [] }: { failure: Failure | undefined; fields?: string[] }) {
  if (!failure) return null;
  if (failure.code === 'invalid_request' && failure.errors.every(({ field }) => fields.includes(field))) return null;
  if (failure.code === 'user_exists' && fields.includes(failure.field)) return null;
  return <p className="error" role="alert">{explain(failure)}</p>;
}

interface TabsProps<T extends string> {
  label: string;
  tabs: (readonly [T, string, number?])[];
  tab: T;
  onTab: (tab: T) => void;
  children: ReactNode;
}

/** Tabs above what they show. Arrow keys move. */
export function Tabs<T extends string>({ label, tabs, tab, onTab, children }: TabsProps<T>) {
  const id = useId();
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs.at((tabs.findIndex(([name]) => name === tab) + step) % tabs.length)!;
    onTab(next[0]);
    event.currentTarget.querySelector<HTMLElement>(`[data-tab="${next[0]}"]`)?.focus();
    event.preventDefault();
  };
  return (
    <>
      <div className="tabs" role="tablist" aria-label={label} onKeyDown={onKeyDown}>
        {tabs.map(([name, title, count]) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`${id}-${name}`}
            data-tab={name}
            aria-selected={name === tab}
            aria-controls={`${id}-panel`}
            tabIndex={name === tab ? 0 : -1}
            onClick={() => onTab(name)}
          >
            {title}
            <Badge count={count ?? 0} />
          </button>
        ))}
      </div>
      <div className="tab-panel" role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${tab}`} tabIndex={0}>{children}</div>
    </>
  );
}
