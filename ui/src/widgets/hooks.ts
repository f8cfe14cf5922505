/** Hooks that more than one page needs. */
import { useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from 'react';
import { nowNano } from '../format/time';

/** The present in unix nanoseconds, anew every `everyMillis` while `active`. */
export function useNow(everyMillis: number, active = true): bigint {
  const [now, setNow] = useState(nowNano);
  useEffect(() => {
    if (!active) return;
    const timer = window.setInterval(() => setNow(nowNano()), everyMillis);
    return () => window.clearInterval(timer);
  }, [everyMillis, active]);
  return now;
}

export interface Size {
  width: number;
  height: number;
}

/** The inner size of an element, followed as it changes. */
export function useSize<T extends HTMLElement>(): [RefObject<T | null>, Size] {
  const ref = useRef<T>(null);
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => {
      setSize({ width: element.clientWidth, height: element.clientHeight });
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, size];
}

/** Whether an element is in or near the visible part of the page. */
export function useVisible<T extends HTMLElement>(): [RefObject<T | null>, boolean] {
  const ref = useRef<T>(null);
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const observer = new IntersectionObserver(
      (entries) => setVisible(entries.some((entry) => entry.isIntersecting)),
      { rootMargin: '200px' },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, visible];
}

/** A function that stays the same between renders and always runs the newest code. */
export function useStable<Args extends unknown[]>(
  action: (...args: Args) => void,
): (...args: Args) => void {
  const latest = useRef(action);
  useLayoutEffect(() => {
    latest.current = action;
  });
  return useCallback((...args: Args) => latest.current(...args), []);
}

/** Puts the page's name into the window's title. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title === '' ? 'Lumitrace' : `${title} · Lumitrace`;
  }, [title]);
}

/** Keys of the whole page. Keys typed into fields or with a modifier are left alone. */
export function useKeys(keys: Record<string, (event: KeyboardEvent) => void>): void {
  const current = useRef(keys);
  useEffect(() => {
    current.current = keys;
  });
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target)) return;
      current.current[event.key]?.(event);
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  // In dialogs and lists the keys belong to these.
  if (target.closest('[role="dialog"], [role="listbox"]') !== null) return true;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}
