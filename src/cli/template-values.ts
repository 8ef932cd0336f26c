import { Failure } from './failure.ts';

export type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };

const fail = (message: string): Failure => new Failure(1, `template: ${message}`);

/** Go's rule: zero values and empty collections are false. */
export function truthy(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** As Go prints a value: `[a b]`, `map[k:v]`. */
export function printValue(value: Value): string {
  if (value === null) return '<no value>';
  if (Array.isArray(value)) return `[${value.map(printValue).join(' ')}]`;
  if (typeof value !== 'object') return String(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([key, item]) => `${key}:${printValue(item)}`).join(' ')}]`;
}

const text = (value: Value | undefined): string => {
  if (typeof value !== 'string') throw fail(`expected a string, found ${printValue(value ?? null)}`);
  return value;
};

const compare = (a: Value | undefined, b: Value | undefined): number => {
  if (typeof a !== typeof b || (typeof a !== 'string' && typeof a !== 'number'))
    throw fail('cannot compare these values');
  return a === b ? 0 : a < (b as typeof a) ? -1 : 1;
};

const functions: Readonly<Record<string, (...values: Value[]) => Value>> = {
  json: (value = null) => JSON.stringify(value),
  len: (value = null) => {
    if (typeof value === 'string' || Array.isArray(value)) return value.length;
    if (typeof value === 'object' && value !== null) return Object.keys(value).length;
    throw fail('len of something that has no length');
  },
  index: (value = null, ...keys) => keys.reduce(at, value),
  join: (list = null, separator = '') => {
    if (!Array.isArray(list)) throw fail('join of something that is no list');
    return list.map(printValue).join(text(separator));
  },
  split: (value, separator) => text(value).split(text(separator)),
  lower: (value) => text(value).toLowerCase(),
  upper: (value) => text(value).toUpperCase(),
  title: (value) => text(value).replace(/\b\w/g, (letter) => letter.toUpperCase()),
  truncate: (value, count = 0) => text(value).slice(0, Number(count)),
  pad: (value, before = 0, after = 0) =>
    text(value) === '' ? '' : ' '.repeat(Number(before)) + text(value) + ' '.repeat(Number(after)),
  print: (...values) => values.map(printValue).join(''),
  println: (...values) => `${values.map(printValue).join(' ')}\n`,
  printf: (format, ...values) => printf(text(format), values),
  eq: (first = null, ...others) => others.some((other) => other === first),
  ne: (a = null, b = null) => a !== b,
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  not: (value = null) => !truthy(value),
  and: (...values) => values.find((value) => !truthy(value)) ?? values.at(-1) ?? null,
  or: (...values) => values.find(truthy) ?? values.at(-1) ?? null,
};

export function callFunction(name: string, values: readonly Value[]): Value {
  const known = Object.hasOwn(functions, name) ? functions[name] : undefined;
  if (known === undefined) throw fail(`there is no function "${name}"; known are ${Object.keys(functions).join(', ')}`);
  return known(...values);
}

function at(value: Value, key: Value): Value {
  if (Array.isArray(value)) {
    const item: unknown = typeof key === 'number' ? value[key] : undefined;
    if (item === undefined) throw fail(`index out of range: ${printValue(key)}`);
    return item as Value;
  }
  if (typeof value !== 'object' || value === null) throw fail('index of something that is neither list nor map');
  const name = printValue(key);
  return Object.hasOwn(value, name) ? ((value as Readonly<Record<string, Value>>)[name] ?? null) : '';
}

function printf(format: string, values: readonly Value[]): string {
  let next = 0;
  return format.replace(/%(-?\d*)([sdvq%])/g, (_, width: string, verb: string) => {
    if (verb === '%') return '%';
    const value = values[next++] ?? null;
    const printed = verb === 'q' ? JSON.stringify(value) : printValue(value);
    const size = Number(width);
    return size < 0 ? printed.padEnd(-size) : printed.padStart(size);
  });
}
