/** The filters of the search page. Each change goes straight to the URL. */
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Switch } from 'react-aria-components';
import { operations, services } from '../api/queries';
import { assignColors, colorToken } from '../app/colors';
import { parseDuration } from '../format/duration';
import { useKeys } from '../widgets/hooks';
import { SearchIcon } from '../widgets/icons';
import { ColorDot } from '../widgets/marks';
import { Combo, Pick, Segments } from '../widgets/Picker';
import {
  isFiltered,
  NO_FILTERS,
  RANGES,
  type RangeName,
  type SearchFilters,
  type StatusFilter,
} from './filters';
import { TagField } from './TagField';

interface FilterProps {
  filters: SearchFilters;
  onChange: (next: Partial<SearchFilters>) => void;
}

export function FilterForm({ filters, onChange }: FilterProps) {
  return (
    <search className="filters">
      <div className="filter-row">
        <TextFilter value={filters.text} onChange={(text) => onChange({ text })} />
        <ServiceFilters filters={filters} onChange={onChange} />
        <Pick
          label="Time"
          choices={RANGES.map(({ name, label }) => ({ id: name, label }))}
          value={filters.range}
          onChange={(range) => onChange(rangeChange(range as RangeName, filters))}
        />
        <Switch
          className="switch live-switch"
          isSelected={filters.live}
          onChange={(live) => onChange({ live })}
        >
          <span className="track" />
          Live
        </Switch>
      </div>
      <div className="filter-row second">
        <TagField tags={filters.tags} onChange={(tags) => onChange({ tags })} />
        <DurationFilter
          label="Min duration"
          placeholder="10ms"
          value={filters.minDuration}
          onChange={(minDuration) => onChange({ minDuration })}
        />
        <DurationFilter
          label="Max duration"
          placeholder="1.5s"
          value={filters.maxDuration}
          onChange={(maxDuration) => onChange({ maxDuration })}
        />
        <div className="field">
          <span className="field-label">Status</span>
          <Segments
            label="Status"
            choices={[
              { id: 'any', label: 'Any' },
              { id: 'error', label: 'Error' },
              { id: 'ok', label: 'Ok' },
            ]}
            value={filters.status === '' ? 'any' : filters.status}
            onChange={(status) =>
              onChange({ status: status === 'any' ? '' : (status as StatusFilter) })
            }
          />
        </div>
        <ClearButton filters={filters} onChange={onChange} />
      </div>
      {filters.range === 'custom' && <CustomRange filters={filters} onChange={onChange} />}
    </search>
  );
}

/** Takes away what narrows the search; the time and the live switch stay. */
function ClearButton({ filters, onChange }: FilterProps) {
  const { range, from, to, live } = filters;
  return (
    <button
      type="button"
      className="button quiet"
      disabled={!isFiltered(filters)}
      onClick={() => onChange({ ...NO_FILTERS, range, from, to, live })}
    >
      Clear
    </button>
  );
}

function rangeChange(range: RangeName, filters: SearchFilters): Partial<SearchFilters> {
  if (range !== 'custom') return { range, from: null, to: null };
  return { range, from: filters.from ?? Date.now() - 3_600_000, to: filters.to };
}

const TYPING_PAUSE_MILLIS = 300;
const TRACE_ID = /^[0-9a-f]{32}$/i;

/** Free text; a whole trace id opens that trace on Enter. */
function TextFilter({ value, onChange }: { value: string; onChange: (text: string) => void }) {
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
          placeholder="Text in names, attributes and messages, or a trace id"
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

function ServiceFilters({ filters, onChange }: FilterProps) {
  const { data: known } = useQuery(services);
  const { data: found } = useQuery(operations(filters.service));
  const serviceChoices = useMemo(() => {
    const names = (known ?? []).map(({ name }) => name);
    const places = assignColors(names);
    return names.map((name) => ({
      id: name,
      label: name,
      mark: <ColorDot color={colorToken(places.get(name))} />,
    }));
  }, [known]);
  const operationChoices = useMemo(() => {
    const kinds = new Map((found ?? []).map(({ name, kind }) => [name, kind]));
    return [...kinds].map(([name, kind]) => ({
      id: name,
      label: name,
      note: kind === 'internal' ? '' : kind,
    }));
  }, [found]);
  return (
    <>
      <Combo
        label="Service"
        placeholder="All services"
        choices={serviceChoices}
        value={filters.service}
        onChange={(service) => onChange({ service, operation: '' })}
      />
      <Combo
        label="Operation"
        placeholder={filters.service === '' ? 'Choose a service first' : 'All operations'}
        choices={operationChoices}
        value={filters.operation}
        onChange={(operation) => onChange({ operation })}
        disabled={filters.service === '' && filters.operation === ''}
      />
    </>
  );
}

interface DurationProps {
  label: string;
  placeholder: string;
  value: string;
  onChange: (text: string) => void;
}

function DurationFilter({ label, placeholder, value, onChange }: DurationProps) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  const isBad = typed.trim() !== '' && parseDuration(typed) === null;
  const commit = () => {
    if (!isBad && typed !== value) onChange(typed.trim());
  };
  return (
    <label className="field duration-filter">
      <span className="field-label">{label}</span>
      <input
        className="input number"
        placeholder={placeholder}
        value={typed}
        aria-invalid={isBad}
        title={isBad ? 'Write a duration such as 250us, 10ms, 1.5s or 2m' : undefined}
        onChange={(event) => setTyped(event.target.value)}
        onBlur={commit}
        onKeyDown={(event) => {
          if (event.key === 'Enter') commit();
        }}
      />
    </label>
  );
}

/** Local time in the form of `datetime-local` fields. */
function localText(millis: number | null): string {
  if (millis === null) return '';
  const offset = new Date(millis).getTimezoneOffset() * 60_000;
  return new Date(millis - offset).toISOString().slice(0, 19);
}

function CustomRange({ filters, onChange }: FilterProps) {
  const read = (text: string) => (text === '' ? null : new Date(text).getTime());
  return (
    <div className="filter-row custom-range">
      <label className="field">
        <span className="field-label">From</span>
        <input
          className="input number"
          type="datetime-local"
          step="1"
          value={localText(filters.from)}
          onChange={(event) => onChange({ from: read(event.target.value) })}
        />
      </label>
      <label className="field">
        <span className="field-label">To (empty: now)</span>
        <input
          className="input number"
          type="datetime-local"
          step="1"
          value={localText(filters.to)}
          onChange={(event) => onChange({ to: read(event.target.value) })}
        />
      </label>
      <button
        type="button"
        className="button quiet"
        onClick={() => onChange({ range: 'all', from: null, to: null })}
      >
        All time
      </button>
    </div>
  );
}
