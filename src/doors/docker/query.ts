import { invalid } from '#base/errors.ts';

/** The query of a request, read with Docker's own leniency about booleans and with clear errors about the rest. */
export class Query {
  readonly #parameters: URLSearchParams;

  constructor(text: string) {
    this.#parameters = new URLSearchParams(text);
  }

  text(name: string): string {
    return this.#parameters.get(name) ?? '';
  }

  all(name: string): string[] {
    return this.#parameters.getAll(name);
  }

  has(name: string): boolean {
    return this.#parameters.has(name);
  }

  /** Docker's rule: empty, `0`, `no`, `false` and `none` are false, everything else is true. */
  flag(name: string, absent = false): boolean {
    if (!this.#parameters.has(name)) return absent;
    return !['', '0', 'no', 'false', 'none'].includes(this.text(name).trim().toLowerCase());
  }

  /** A whole number, or undefined when it is absent or empty. */
  integer(name: string): number | undefined {
    const text = this.text(name);
    if (text === '') return undefined;
    if (!/^[+-]?\d{1,15}$/.test(text)) throw invalid(`query parameter "${name}" is "${text}": must be a whole number`);
    return Number(text);
  }

  /** A point in time: seconds since 1970 with a fraction, or RFC 3339. Zero and nothing are no point at all. */
  time(name: string): Date | undefined {
    const text = this.text(name);
    if (text === '' || text === '0') return undefined;
    const milliseconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text);
    if (Number.isNaN(milliseconds) || Math.abs(milliseconds) > 8.64e15) {
      throw invalid(`query parameter "${name}" is "${text}": must be seconds since 1970 or an RFC 3339 time`);
    }
    return new Date(milliseconds);
  }
}

/**
 * `filters` in both of its forms: `{"name":["value"]}` and the older `{"name":{"value":true}}`.
 */
export function parseFilters(text: string): Map<string, readonly string[]> {
  const filters = new Map<string, readonly string[]>();
  if (text === '') return filters;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid(`query parameter "filters" is not JSON: ${(error as Error).message}`, error);
  }
  if (parsed === null) return filters;
  if (typeof parsed !== 'object' || Array.isArray(parsed)) throw badFilters('must be a JSON object');
  for (const [name, values] of Object.entries(parsed)) filters.set(name, filterValues(name, values));
  return filters;
}

function filterValues(name: string, values: unknown): readonly string[] {
  if (Array.isArray(values) && values.every((value) => typeof value === 'string')) return values;
  if (typeof values === 'object' && values !== null && !Array.isArray(values)) {
    const chosen = Object.entries(values);
    if (chosen.every(([, on]) => typeof on === 'boolean')) return chosen.filter(([, on]) => on).map(([value]) => value);
  }
  throw badFilters(`the values of "${name}" must be a list of strings or an object of booleans`);
}

const badFilters = (what: string): Error => invalid(`query parameter "filters": ${what}`);
