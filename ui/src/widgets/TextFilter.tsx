/** The field for text to look for. */
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { useKeys } from './hooks';
import { SearchIcon } from './icons';

const TYPING_PAUSE_MILLIS = 300;
const TRACE_ID = /^[0-9a-f]{32}$/i;

interface TextFilterProps {
  placeholder: string;
  value: string;
  onChange: (text: string) => void;
}

/** Free text; a whole trace id opens that trace on Enter. */
export function TextFilter({ placeholder, value, onChange }: TextFilterProps) {
  const [typed, setTyped] = useState(value);
  const field = useRef<HTMLInputElement>(null);
  const navigate = useNavigate();
  const latest = useRef(onChange);
  useEffect(() => {
    latest.current = onChange;
  });
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed === value || TRACE_ID.test(typed.trim())) return;
    const timer = window.setTimeout(() => latest.current(typed), TYPING_PAUSE_MILLIS);
    return () => window.clearTimeout(timer);
  }, [typed, value]);
  useKeys({
    '/': (event) => {
      event.preventDefault();
      field.current?.focus();
    },
  });
  return (
    <label className="field text-filter">
      <span className="field-label">Search</span>
      <span className="text-filter-box">
        <SearchIcon />
        <input
          ref={field}
          className="input"
          type="search"
          placeholder={placeholder}
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === 'Escape') field.current?.blur();
            if (event.key !== 'Enter') return;
            const text = typed.trim();
            if (TRACE_ID.test(text)) {
              void navigate({ to: '/trace/$traceId', params: { traceId: text.toLowerCase() } });
            } else if (typed !== value) onChange(typed);
          }}
        />
        <kbd aria-hidden="true">/</kbd>
      </span>
    </label>
  );
}
