/** What somebody has chosen on this device. */
import { Store } from './store.js';

export type Theme = 'auto' | 'light' | 'dark';

/** Something that stays in the browser. Where storage is forbidden it lasts as long as the page. */
function kept<T extends string>(key: string, options: readonly T[], otherwise: T): Store<T> & { choose(value: T): void } {
  const read = (): T => {
    try {
      return options.find(option => option === localStorage.getItem(key)) ?? otherwise;
    } catch {
      return otherwise;
    }
  };
  const store = new Store<T>(read());
  return Object.assign(store, {
    choose(value: T) {
      store.set(value);
      try {
        localStorage.setItem(key, value);
      } catch {
        // It lasts as long as the page.
      }
    },
  });
}

export const theme = kept<Theme>('coterie-theme', ['auto', 'light', 'dark'], 'auto');
export const notify = kept<'on' | 'off'>('coterie-notify', ['on', 'off'], 'off');

/** Shows the page in the chosen colors, from now on. */
export function followTheme(): void {
  theme.subscribe(chosen => {
    if (chosen === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = chosen;
  });
}
