import { readFileSync } from 'node:fs';
import { parseDuration } from '#base/duration.ts';
import { UsageFailure } from '../failure.ts';

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
  p: 1024 ** 5,
};

/** Bytes as Docker takes them: `512m`, `1.5g`, `64kb`, `1GiB`, a plain number; in powers of 1024. */
export function bytes(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const found = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (found === null)
    throw new UsageFailure(`invalid argument "${text}" for ${flag}: must be a size such as 512m or 2g`);
  return Math.trunc(Number(found[1]) * (units[(found[2] ?? '').toLowerCase()] ?? 1));
}

/** CPUs as a decimal number, in billionths. */
export function nanoCpus(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+(\.\d{0,9})?$|^\.\d{1,9}$/.test(text)) {
    throw new UsageFailure(
      `invalid argument "${text}" for ${flag}: must be a number such as 1.5 (at most nine decimals)`,
    );
  }
  return Math.round(Number(text) * 1e9);
}

/** A time span in nanoseconds, as the API counts health checks. */
export function nanoseconds(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const milliseconds = parseDuration(text);
  if (milliseconds === undefined || milliseconds < 0) {
    throw new UsageFailure(`invalid argument "${text}" for ${flag}: must be a duration such as 30s or 1m30s`);
  }
  return Math.round(milliseconds * 1e6);
}

/** `KEY=VALUE` pairs as an object; a key alone has an empty value. */
export function pairs(texts: readonly string[], separator = '='): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf(separator);
      return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
    }),
  );
}

/**
 * Environment of files and flags, in Docker's way: a name alone takes its value from our own environment, and is left out when it
 * has none there.
 */
export function environmentOf(
  files: readonly string[],
  given: readonly string[],
  own: Readonly<Record<string, string | undefined>>,
): string[] {
  const all = [...files.flatMap((file) => readPairs('--env-file', file)), ...given];
  return all.flatMap((text) => {
    if (text.startsWith('=')) throw new UsageFailure(`invalid environment variable: ${text}`);
    if (text.includes('=')) return [text];
    const value = own[text];
    return value === undefined ? [] : [`${text}=${value}`];
  });
}

/** The lines of a file of `KEY=VALUE`; empty ones and those that begin with # say nothing. */
export function readPairs(flag: string, file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageFailure(`${flag}: cannot read "${file}": ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
  return text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const name = line.split('=', 1)[0] ?? '';
      if (/\s/.test(name) || name === '')
        throw new UsageFailure(`${flag}: "${file}": variable "${name}" contains whitespaces or is empty`);
      return line;
    });
}

/** `on-failure:3` and its like. */
export function restartPolicy(text: string | undefined): { Name: string; MaximumRetryCount: number } {
  const [name = '', count] = (text ?? 'no').split(':', 2);
  if (count !== undefined && !/^\d{1,9}$/.test(count)) {
    throw new UsageFailure(`invalid restart policy "${text}": the maximum retry count must be a number`);
  }
  return { Name: name === '' ? 'no' : name, MaximumRetryCount: Number(count ?? 0) };
}

/** `nofile=1024:2048`. */
export function ulimits(texts: readonly string[]): { Name: string; Soft: number; Hard: number }[] {
  return texts.map((text) => {
    const found = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
    if (found === null) throw new UsageFailure(`invalid argument "${text}" for --ulimit: must be NAME=SOFT[:HARD]`);
    return { Name: found[1] ?? '', Soft: Number(found[2]), Hard: Number(found[3] ?? found[2]) };
  });
}

/** `/dev/x[:/dev/y[:rwm]]`. */
export function devices(
  texts: readonly string[],
): { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }[] {
  return texts.map((text) => {
    const [host = '', second, third] = text.split(':');
    const permissions = third ?? (second !== undefined && /^[rwm]{1,3}$/.test(second) ? second : 'rwm');
    const inside = second === undefined || second === permissions ? host : second;
    if (!host.startsWith('/') || !/^[rwm]{1,3}$/.test(permissions)) {
      throw new UsageFailure(`invalid argument "${text}" for --device: must be /dev/HOST[:/dev/CONTAINER[:rwm]]`);
    }
    return { PathOnHost: host, PathInContainer: inside, CgroupPermissions: permissions };
  });
}
