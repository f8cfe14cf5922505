/** Which colour a span has: its service's, or its name's where one service is alone. */
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { services } from '../api/queries';
import { assignColors, colorToken, PALETTE_SIZE } from '../app/colors';
import type { TraceTable } from './trace_table';

export interface SpanColors {
  /** `service` or `name`: what the colours tell apart. */
  by: 'service' | 'name';
  /** CSS colour of a row. */
  ofRow: (row: number) => string;
  /** Palette place of a row, for canvases. */
  placeOfRow: (row: number) => number;
  /** What each colour stands for. */
  legend: { name: string; color: string }[];
}

export function useSpanColors(table: TraceTable): SpanColors {
  const { data } = useQuery(services);
  return useMemo(() => {
    // All known services take part, so that the search page and this one agree.
    const known = (data ?? []).map(({ name }) => name);
    return spanColors(table, assignColors([...known, ...table.services]));
  }, [table, data]);
}

export function spanColors(table: TraceTable, ofServices: Map<string, number>): SpanColors {
  const by = table.services.length > 1 ? 'service' : 'name';
  const ofNames = assignColors(table.names);
  const places =
    by === 'service'
      ? table.services.map((service) => ofServices.get(service) ?? 0)
      : table.names.map((name) => ofNames.get(name) ?? 0);
  const column = by === 'service' ? table.service : table.name;
  const placeOfRow = (row: number) => (places[column[row] ?? 0] ?? 0) % PALETTE_SIZE;
  return {
    by,
    placeOfRow,
    ofRow: (row) => colorToken(placeOfRow(row)),
    legend: (by === 'service' ? table.services : table.names).map((name, index) => ({
      name,
      color: colorToken((places[index] ?? 0) % PALETTE_SIZE),
    })),
  };
}
