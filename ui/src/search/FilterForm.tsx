/** The filters of the search page. Each change goes straight to the URL. */
import { useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useState } from 'react';
import { operations, services } from '../api/queries';
import { assignColors, colorToken } from '../app/colors';
import { parseDuration } from '../format/duration';
import { LiveSwitch } from '../widgets/LiveSwitch';
import { ColorDot } from '../widgets/marks';
import { Combo, Segments } from '../widgets/Picker';
import { TextFilter } from '../widgets/TextFilter';
import { CustomRange, RangePick } from '../widgets/TimeRangeFields';
import { isFiltered, NO_FILTERS, type SearchFilters, type StatusFilter } from './filters';
import { TagField } from './TagField';

interface FilterProps {
  filters: SearchFilters;
  onChange: (next: Partial<SearchFilters>) => void;
}

export function FilterForm({ filters, onChange }: FilterProps) {
  return (
    <search className="filters">
      <div className="filter-row">
        <TextFilter
          placeholder="Text in names, attributes and messages, or a trace id"
          value={filters.text}
          onChange={(text) => onChange({ text })}
        />
        <ServiceFilters filters={filters} onChange={onChange} />
        <RangePick range={filters} onChange={onChange} />
        <LiveSwitch live={filters.live} onChange={(live) => onChange({ live })} />
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
      {filters.range === 'custom' && <CustomRange range={filters} onChange={onChange} />}
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
