/** Light or dark: the system decides until the reader does. */
import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';

const STORAGE_KEY = 'lumitrace.theme';
const listeners = new Set<() => void>();
const systemDark = window.matchMedia('(prefers-color-scheme: dark)');

function stored(): Theme {
  try {
    const value = localStorage.getItem(STORAGE_KEY);
    return value === 'light' || value === 'dark' ? value : 'system';
  } catch {
    // Storage can be forbidden; the system's choice is fine then.
    return 'system';
  }
}

let theme: Theme = stored();

/** Puts the theme on the document; call once before the first render. */
export function applyTheme(): void {
  if (theme === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

export function setTheme(next: Theme): void {
  theme = next;
  try {
    if (next === 'system') localStorage.removeItem(STORAGE_KEY);
    else localStorage.setItem(STORAGE_KEY, next);
  } catch {
    // The choice then lasts as long as the page.
  }
  applyTheme();
  for (const listener of listeners) listener();
}

export function nextTheme(current: Theme): Theme {
  return current === 'system' ? 'light' : current === 'light' ? 'dark' : 'system';
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  systemDark.addEventListener('change', listener);
  return () => {
    listeners.delete(listener);
    systemDark.removeEventListener('change', listener);
  };
}

export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, () => theme);
}

/** Whether dark is shown now; canvases draw again when it changes. */
export function useIsDark(): boolean {
  return useSyncExternalStore(subscribe, () =>
    theme === 'system' ? systemDark.matches : theme === 'dark',
  );
}

/** The computed colour of tokens such as `--accent`, for canvases, which know no variables. */
export function resolveColors<Name extends string>(tokens: readonly Name[]): Record<Name, string> {
  const probe = document.createElement('span');
  // A transition, however short, would answer with the colour before.
  probe.style.setProperty('transition', 'none', 'important');
  document.body.append(probe);
  const colors = {} as Record<Name, string>;
  for (const token of tokens) {
    probe.style.color = `var(${token})`;
    colors[token] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colors;
}
