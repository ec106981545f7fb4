import type { ButtonHTMLAttributes, Ref } from 'react';
import { classes } from '../app/util.js';
import { Icon } from './Icon.js';
import type { IconName } from './Icon.js';

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: 'primary' | 'secondary' | 'quiet' | 'danger';
  icon?: IconName;
  busy?: boolean;
  ref?: Ref<HTMLButtonElement>;
}

export function Button({ kind = 'secondary', icon, busy, children, className, disabled, type = 'button', ...rest }: Props) {
  return (
    <button {...rest} type={type} className={classes('button', kind, className)} disabled={disabled ?? busy} aria-busy={busy ? true : undefined}>
      {icon && <Icon name={icon} size={18} />}
      {children}
    </button>
  );
}

interface IconProps extends Omit<Props, 'children' | 'kind'> {
  icon: IconName;
  /** What it does: its name for everybody who does not see the pictogram, and its hint. */
  label: string;
  size?: number;
}

export function IconButton({ icon, label, className, size, busy, type = 'button', disabled, ...rest }: IconProps) {
  return (
    <button {...rest} type={type} className={classes('icon-button', className)} aria-label={label} title={label} disabled={disabled ?? busy}>
      <Icon name={icon} size={size ?? 20} />
    </button>
  );
}
