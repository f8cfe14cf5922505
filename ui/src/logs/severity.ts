/** Severities of log records, by OpenTelemetry's numbers: 1 to 24, in six levels of four. */

export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';

/** The levels from the least on, each with the number that it begins at. */
export const LEVELS: { level: Level; number: number }[] = [
  { level: 'trace', number: 1 },
  { level: 'debug', number: 5 },
  { level: 'info', number: 9 },
  { level: 'warn', number: 13 },
  { level: 'error', number: 17 },
  { level: 'fatal', number: 21 },
];

/** The level of a severity; `null` where the program did not say, or said what nobody knows. */
export function levelOf(severityNumber: number): Level | null {
  if (severityNumber < 1 || severityNumber > 24) return null;
  return LEVELS.findLast(({ number }) => number <= severityNumber)?.level ?? null;
}
