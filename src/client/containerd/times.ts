import type { Timestamp } from '@bufbuild/protobuf/wkt';

/** The time as JSON and people have it; undefined when the daemon did not say. Digits below the millisecond stay. */
export function toDate(timestamp: Timestamp | undefined): string | undefined {
  if (timestamp === undefined) return undefined;
  const whole = new Date(Number(timestamp.seconds) * 1000).toISOString().slice(0, 19);
  const fraction = String(timestamp.nanos).padStart(9, '0').replace(/0+$/, '');
  return `${whole}${fraction === '' ? '' : `.${fraction}`}Z`;
}

/** Milliseconds since 1970. */
export const toMilliseconds = (timestamp: Timestamp | undefined): number =>
  timestamp === undefined ? 0 : Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;

/** RFC 3339 in this machine's time zone, to the second, as Go's clients print it. */
export function isoLocal(timestamp: Timestamp | undefined): string {
  const milliseconds = Math.floor(toMilliseconds(timestamp) / 1000) * 1000;
  const minutes = -new Date(milliseconds).getTimezoneOffset();
  const shifted = new Date(milliseconds + minutes * 60_000).toISOString().slice(0, 19);
  if (minutes === 0) return `${shifted}Z`;
  const two = (value: number): string => String(Math.trunc(value)).padStart(2, '0');
  return `${shifted}${minutes < 0 ? '-' : '+'}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
}

/** As Go prints a time in UTC: `2026-11-21 11:49:54.26 +0000 UTC`. */
export function goTime(timestamp: Timestamp | undefined): string {
  const text = toDate(timestamp) ?? '0001-01-01T00:00:00Z';
  return `${text.slice(0, -1).replace('T', ' ')} +0000 UTC`;
}
