import { invalid } from '#base/errors.ts';

/** An object out of somebody's JSON. */
export type Json = { readonly [key: string]: unknown };

const absent = (value: unknown): value is undefined | null => value === undefined || value === null;
const wrong = (key: string, wanted: string): Error => invalid(`field "${key}": must be ${wanted}`);

/** '' when absent. Go's clients send null or leave out what is empty. */
export function textOf(source: Json, key: string): string {
  const value = source[key];
  if (absent(value)) return '';
  if (typeof value !== 'string') throw wrong(key, 'a string');
  return value;
}

/** `fallback` when absent. All numbers of the Engine API's requests are int64 at most, and so are the runtime's. */
export function numberOf(source: Json, key: string, fallback = 0): number {
  const value = source[key];
  if (absent(value)) return fallback;
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) >= 2 ** 63) {
    throw wrong(key, 'a whole number of at most 64 bits');
  }
  return value;
}

/** undefined when absent. */
export function findNumber(source: Json, key: string): number | undefined {
  return absent(source[key]) ? undefined : numberOf(source, key);
}

export function flagOf(source: Json, key: string, fallback = false): boolean {
  const value = source[key];
  if (absent(value)) return fallback;
  if (typeof value !== 'boolean') throw wrong(key, 'true or false');
  return value;
}

/** A list of strings; a lone string counts as a list of one where the Engine API allows it (Cmd, Entrypoint). */
export function findTexts(source: Json, key: string, options: { lone?: boolean } = {}): string[] | undefined {
  const value = source[key];
  if (absent(value)) return undefined;
  if (options.lone === true && typeof value === 'string') return [value];
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) throw wrong(key, 'a list of strings');
  return value;
}

export const textsOf = (source: Json, key: string): string[] => findTexts(source, key) ?? [];

/** {} when absent. */
export function objectOf(source: Json, key: string): Json {
  const value = source[key];
  if (absent(value)) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw wrong(key, 'an object');
  return value as Json;
}

export function objectsOf(source: Json, key: string): Json[] {
  const value = source[key];
  if (absent(value)) return [];
  if (
    !Array.isArray(value) ||
    !value.every((item) => typeof item === 'object' && item !== null && !Array.isArray(item))
  ) {
    throw wrong(key, 'a list of objects');
  }
  return value as Json[];
}

export function textMapOf(source: Json, key: string): Record<string, string> {
  const value = objectOf(source, key);
  for (const item of Object.values(value)) if (typeof item !== 'string') throw wrong(key, 'an object of strings');
  return { ...(value as Record<string, string>) };
}
