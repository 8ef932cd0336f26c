const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gy;

/** Milliseconds of a time span in Go's notation (`1m30s`, `-1.5h`, `0`), or undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const negative = text.startsWith('-');
  const rest = negative || text.startsWith('+') ? text.slice(1) : text;
  if (rest === '0') return 0;
  let total = 0;
  let end = 0;
  for (const match of rest.matchAll(part)) {
    total += Number(match[1]) * units[match[2]!]!;
    end = match.index + match[0].length;
  }
  if (end === 0 || end !== rest.length) return undefined;
  return negative ? -total : total;
}

/** Go's notation of a time span in milliseconds: `90_500` is `1m30.5s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0s';
  const sign = milliseconds < 0 ? '-' : '';
  const all = Math.abs(milliseconds);
  if (all < 1) return `${sign}${round(all * 1000)}µs`;
  if (all < 1000) return `${sign}${round(all)}ms`;
  const hours = Math.floor(all / 3_600_000);
  const minutes = Math.floor((all % 3_600_000) / 60_000);
  const seconds = round((all % 60_000) / 1000);
  return `${sign}${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${seconds}s`;
}

const round = (value: number): number => Math.round(value * 1e6) / 1e6;
