import { parseDuration } from '#base/duration.ts';
import { UsageFailure } from '../failure.ts';

/** A point in time as people give it, in seconds since 1970: RFC 3339 or a part of it, seconds, or a span before now. */
export function moment(flag: string, text: string | undefined, now = Date.now()): string | undefined {
  if (text === undefined || text === '') return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return text;
  const span = parseDuration(text);
  if (span !== undefined) return ((now - span) / 1000).toFixed(3);
  // A time without a zone is meant in ours.
  const local = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00` : text;
  const time = Date.parse(local);
  if (Number.isNaN(time)) {
    throw new UsageFailure(
      `invalid argument "${text}" for ${flag}: must be a time (2026-01-02T13:23:37Z) or a span ago (42m)`,
    );
  }
  return (time / 1000).toFixed(3);
}
