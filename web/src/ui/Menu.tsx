import { useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { KeyboardEvent, ReactNode } from 'react';
import { classes } from '../app/util.js';
import { Icon } from './Icon.js';
import type { IconName } from './Icon.js';

export interface MenuItem {
  label: string;
  icon?: IconName;
  danger?: boolean;
  act: () => void;
}

interface Props {
  label: string;
  items: (MenuItem | false | undefined | null)[];
  icon?: IconName;
  className?: string;
  tabIndex?: number;
  children?: ReactNode;
  onToggle?: (open: boolean) => void;
}

/** A button that opens a list of actions. Arrow keys move, Escape closes. */
export function Menu({ label, items, icon = 'more', className, tabIndex, children, onToggle }: Props) {
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const open = (next: boolean) => {
    setOpen(next);
    onToggle?.(next);
  };
  const close = (refocus: boolean) => {
    open(false);
    if (refocus) button.current?.focus();
  };
  useLayoutEffect(() => {
    if (!isOpen) return;
    place(list.current!, button.current!);
    list.current!.querySelector<HTMLElement>('[role=menuitem]')?.focus();
  }, [isOpen]);
  useEffect(() => {
    if (!isOpen) return;
    const away = (event: Event) => {
      const target = event.target as Node;
      if (!list.current?.contains(target) && !button.current?.contains(target)) close(false);
    };
    addEventListener('pointerdown', away);
    addEventListener('resize', away);
    return () => {
      removeEventListener('pointerdown', away);
      removeEventListener('resize', away);
    };
  });
  const onKeyDown = (event: KeyboardEvent) => {
    const all = [...list.current!.querySelectorAll<HTMLElement>('[role=menuitem]')];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    event.stopPropagation();
    if (event.key === 'Escape' || event.key === 'Tab') close(true);
    else if (to !== undefined) all.at(to % all.length)?.focus();
    else return;
    event.preventDefault();
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        className={className ?? 'icon-button'}
        aria-label={children ? undefined : label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        tabIndex={tabIndex}
        onClick={() => open(!isOpen)}
      >
        {children ?? <Icon name={icon} />}
      </button>
      {isOpen && (
        <div ref={list} className="menu" role="menu" aria-label={label} popover="manual" onKeyDown={onKeyDown}>
          {items.map(
            item =>
              item && (
                <button
                  key={item.label}
                  type="button"
                  role="menuitem"
                  tabIndex={-1}
                  className={classes(item.danger && 'danger')}
                  onClick={() => {
                    close(true);
                    item.act();
                  }}
                >
                  {item.icon && <Icon name={item.icon} size={18} />}
                  {item.label}
                </button>
              ),
          )}
        </div>
      )}
    </>
  );
}

/** Puts something in the top layer beside what opened it, inside the window. */
export function place(what: HTMLElement, beside: HTMLElement): void {
  if (what.popover && !what.matches(':popover-open')) what.showPopover();
  const at = beside.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = what;
  const left = Math.max(8, Math.min(at.right - width, innerWidth - width - 8));
  const below = at.bottom + 4;
  const top = below + height <= innerHeight - 8 ? below : Math.max(8, at.top - height - 4);
  what.style.left = `${left}px`;
  what.style.top = `${top}px`;
}
