import { useId, useState } from 'react';
import type { InputHTMLAttributes, ReactNode } from 'react';
import { t } from '../strings.js';
import { IconButton } from './Button.js';

interface Props extends Omit<InputHTMLAttributes<HTMLInputElement>, 'onChange'> {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  value: string;
  onChange: (value: string) => void;
}

/** An input with its label, a hint and what is wrong with it. */
export function Field({ label, hint, error, value, onChange, type = 'text', required, ...rest }: Props) {
  const id = useId();
  const [shown, setShown] = useState(false);
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ') || undefined;
  const isPassword = type === 'password';
  return (
    <div className="field">
      <label htmlFor={id}>
        {label}
        {required === false && <span className="optional"> ({t.optional})</span>}
      </label>
      <div className="input-row">
        <input
          {...rest}
          id={id}
          type={isPassword && shown ? 'text' : type}
          value={value}
          required={required}
          aria-describedby={described}
          aria-invalid={error ? true : undefined}
          onChange={event => onChange(event.currentTarget.value)}
        />
        {isPassword && <IconButton icon="eye" label={shown ? t.auth.hide : t.auth.show} aria-pressed={shown} onClick={() => setShown(!shown)} />}
      </div>
      {hint && <p className="hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p className="error" id={`${id}-error`}>{error}</p>}
    </div>
  );
}

interface SelectProps<T extends string | number> {
  label: string;
  hint?: string;
  value: T;
  options: (readonly [T, string])[];
  onChange: (value: T) => void;
  disabled?: boolean;
}

export function Select<T extends string | number>({ label, hint, value, options, onChange, disabled }: SelectProps<T>) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        value={String(value)}
        disabled={disabled}
        aria-describedby={hint && `${id}-hint`}
        onChange={event => onChange(options.find(([option]) => String(option) === event.currentTarget.value)![0])}
      >
        {options.map(([option, name]) => <option key={option} value={String(option)}>{name}</option>)}
      </select>
      {hint && <p className="hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}

/** Something that is on or off. */
export function Switch({ label, hint, on, onChange, disabled }: { label: string; hint?: string; on: boolean; onChange: (on: boolean) => void; disabled?: boolean }) {
  const id = useId();
  return (
    <div className="switch-row">
      <div>
        <span id={id}>{label}</span>
        {hint && <p className="hint" id={`${id}-hint`}>{hint}</p>}
      </div>
      <button type="button" role="switch" className="switch" aria-checked={on} aria-labelledby={id} aria-describedby={hint && `${id}-hint`} disabled={disabled} onClick={() => onChange(!on)}>
        <span />
      </button>
    </div>
  );
}
