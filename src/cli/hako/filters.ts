import { UsageFailure } from '../failure.ts';

/** `--filter status=running --filter label=a=b` as the API takes it. */
export function filters(texts: readonly string[]): Record<string, string[]> {
  const all: Record<string, string[]> = {};
  for (const text of texts) {
    const at = text.indexOf('=');
    if (at <= 0) throw new UsageFailure(`invalid argument "${text}" for --filter: must be NAME=VALUE`);
    (all[text.slice(0, at).trim().toLowerCase()] ??= []).push(text.slice(at + 1).trim());
  }
  return all;
}
