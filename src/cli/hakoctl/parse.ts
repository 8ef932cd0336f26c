import { parseDuration } from '#base/duration.ts';
import { nearest } from '#base/nearest.ts';
import { UsageFailure } from '../failure.ts';
import { HelpAsked, type Flags, type FlagSpec, type Parsed, type Values } from '../flags.ts';

type Value = boolean | string | string[] | undefined;
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads flags by the rules of `ctr`: one dash is as good as two, short ones do not combine, flags end at the first word
 * that is none or at `--`. `-h` and `--help` throw HelpAsked.
 */
export function parseWords<const F extends Flags>(
  specs: F,
  words: readonly string[],
  environment: Environment = {},
): Parsed<F> {
  const values = new Map<string, Value>();
  for (const [name, spec] of Object.entries(specs)) values.set(name, presetOf(name, spec, environment));
  const given = new Set<string>();
  const names = nameMap(specs);
  let at = 0;
  for (; at < words.length; at += 1) {
    const word = words[at]!;
    if (word === '--') {
      at += 1;
      break;
    }
    if (word === '-' || !word.startsWith('-')) break;
    const [, written = '', value] = /^--?([^=]*)(?:=([^]*))?$/.exec(word) ?? [];
    const name = names.get(written);
    if (name === undefined) throw unknownFlag(written, names);
    const spec = specs[name]!;
    if (spec.kind === 'on') {
      values.set(name, value === undefined ? true : asBoolean(written, value));
    } else {
      const text = value ?? words[(at += 1)];
      if (text === undefined) throw new UsageFailure(`flag needs an argument: -${written}`, 1);
      if (spec.kind === 'one') values.set(name, text);
      else values.set(name, given.has(name) ? [...(values.get(name) as string[]), text] : [text]);
    }
    given.add(name);
  }
  return { flags: Object.fromEntries(values) as Values<F>, given, rest: words.slice(at) };
}

function presetOf(name: string, spec: FlagSpec, environment: Environment): Value {
  const set = spec.variable === undefined ? undefined : environment[spec.variable];
  if (spec.kind === 'many') return set === undefined || set === '' ? [] : [set];
  if (spec.kind === 'one') return set === undefined || set === '' ? spec.fallback : set;
  return set === undefined || set === '' ? (spec.preset ?? false) : asBoolean(name, set);
}

function nameMap(specs: Flags): Map<string, string> {
  const names = new Map<string, string>();
  for (const [name, { short, alias }] of Object.entries(specs)) {
    for (const one of [name, short, alias]) if (one !== undefined) names.set(one, name);
  }
  return names;
}

function unknownFlag(written: string, names: ReadonlyMap<string, string>): Error {
  if (written === 'h' || written === 'help') return new HelpAsked();
  const meant = nearest(
    written,
    [...names.keys()].filter((name) => name.length > 1),
  );
  const hint = meant === undefined ? '' : `; did you mean --${meant}?`;
  return new UsageFailure(`flag provided but not defined: -${written}${hint}`, 1);
}

function asBoolean(written: string, value: string): boolean {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
  throw new UsageFailure(`invalid boolean value "${value}" for -${written}: must be true or false`, 1);
}

/** A whole number given to a flag. */
export function wholeNumber(written: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^[+-]?\d{1,15}$/.test(text))
    throw new UsageFailure(`invalid value "${text}" for flag -${written}: must be a whole number`, 1);
  return Number(text);
}

/** Milliseconds of a span of time given to a flag (`1m30s`). */
export function duration(written: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const milliseconds = parseDuration(text);
  if (milliseconds === undefined)
    throw new UsageFailure(`invalid value "${text}" for flag -${written}: must be a span of time, such as 1m30s`, 1);
  return milliseconds;
}

/** `a=b` pairs as an object; what `missing` gives stands for a value that is not there. */
export function pairs(words: readonly string[], missing = 'true'): Record<string, string> {
  const found = words.map((word): [string, string] => {
    const equals = word.indexOf('=');
    return equals < 0 ? [word, missing] : [word.slice(0, equals), word.slice(equals + 1)];
  });
  return Object.fromEntries(found);
}
