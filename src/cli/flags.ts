import { nearest } from '#base/nearest.ts';
import { UsageFailure } from './failure.ts';

/** `on` is a switch, `one` takes a value, `many` may be given again and again. */
export interface FlagSpec {
  readonly kind: 'on' | 'one' | 'many';
  readonly short?: string;
  /** What the value is called in the help: `string`, `list`, `bytes`. */
  readonly value?: string;
  readonly help: string;
  /** A switch that is on unless it is put off (`--sig-proxy=false`). */
  readonly preset?: boolean;
  /** Another name of the same flag, not shown in the help. */
  readonly alias?: string;
  /** What a value is when nothing is given. */
  readonly fallback?: string;
  /** The environment variable that gives it when the command line does not. */
  readonly variable?: string;
  /** Left out of the help: kept for scripts. */
  readonly hidden?: boolean;
}

export type Flags = Readonly<Record<string, FlagSpec>>;

export type Values<F extends Flags> = {
  readonly [K in keyof F]: F[K]['kind'] extends 'on'
    ? boolean
    : F[K]['kind'] extends 'many'
      ? readonly string[]
      : F[K] extends { readonly fallback: string }
        ? string
        : string | undefined;
};

export interface Parsed<F extends Flags> {
  readonly flags: Values<F>;
  /** Flags that stood on the command line, whatever their value. */
  readonly given: ReadonlySet<string>;
  readonly rest: readonly string[];
}

export interface ParseOptions {
  /** False: flags end at the first argument, for what follows belongs to someone else (`run IMAGE ls -l`). */
  readonly interspersed: boolean;
}

/** The flag that every command has. `-h` is not among them: `run` and `create` use it for the host's name. */
const help: Flags = { help: { kind: 'on', help: 'Print usage' } };

/** Thrown for `--help`: the caller knows which help. */
export class HelpAsked extends Error {}

/** Reads a command line by the rules of Docker's: `-it`, `-eA=b`, `--name=x`, `--name x`, `--flag=false`, `--`. */
export function parseFlags<const F extends Flags>(
  specs: F,
  words: readonly string[],
  options: ParseOptions,
): Parsed<F> {
  return new Parser(specs, options).parse(words) as Parsed<F>;
}

class Parser {
  readonly #specs: Flags;
  readonly #options: ParseOptions;
  readonly #values = new Map<string, boolean | string | string[] | undefined>();
  readonly #given = new Set<string>();
  readonly #byName = new Map<string, string>();
  readonly #byShort = new Map<string, string>();
  #words: readonly string[] = [];
  #at = 0;

  constructor(specs: Flags, options: ParseOptions) {
    this.#specs = { ...help, ...specs };
    this.#options = options;
    for (const [name, spec] of Object.entries(this.#specs)) {
      this.#byName.set(name, name);
      if (spec.alias !== undefined) this.#byName.set(spec.alias, name);
      if (spec.short !== undefined) this.#byShort.set(spec.short, name);
      this.#values.set(name, spec.kind === 'on' ? (spec.preset ?? false) : spec.kind === 'many' ? [] : undefined);
    }
  }

  parse(words: readonly string[]): Parsed<Flags> {
    this.#words = words;
    const rest: string[] = [];
    while (this.#at < words.length) {
      const word = words[this.#at++] ?? '';
      if (word === '--') {
        rest.push(...words.slice(this.#at));
        break;
      }
      if (word.startsWith('--')) this.#long(word.slice(2));
      else if (word.startsWith('-') && word !== '-') this.#short(word.slice(1));
      else {
        rest.push(word);
        if (this.#options.interspersed) continue;
        rest.push(...words.slice(this.#at));
        break;
      }
    }
    return { flags: Object.fromEntries(this.#values) as Values<Flags>, given: this.#given, rest };
  }

  #long(text: string): void {
    const equals = text.indexOf('=');
    const written = equals < 0 ? text : text.slice(0, equals);
    const name = this.#byName.get(written);
    if (name === undefined) {
      const meant = nearest(written, this.#byName.keys());
      throw new UsageFailure(`unknown flag: --${written}${meant === undefined ? '' : `; did you mean --${meant}?`}`);
    }
    this.#take(name, `--${written}`, equals < 0 ? undefined : text.slice(equals + 1));
  }

  #short(text: string): void {
    for (let index = 0; index < text.length; index += 1) {
      const letter = text[index] ?? '';
      const name = this.#byShort.get(letter);
      if (name === undefined && letter === 'h') throw new HelpAsked();
      if (name === undefined) throw new UsageFailure(`unknown shorthand flag: '${letter}' in -${text}`);
      const after = text.slice(index + 1);
      if (this.#specs[name]?.kind === 'on') {
        if (after.startsWith('=')) return this.#take(name, `-${letter}`, after.slice(1));
        this.#take(name, `-${letter}`, undefined);
        continue;
      }
      const value = after.startsWith('=') ? after.slice(1) : after;
      return this.#take(name, `-${letter}`, after === '' ? undefined : value);
    }
  }

  #take(name: string, written: string, value: string | undefined): void {
    this.#given.add(name);
    const kind = this.#specs[name]?.kind;
    if (kind === 'on') {
      if (name === 'help') throw new HelpAsked();
      this.#values.set(name, value === undefined ? true : asBoolean(written, value));
      return;
    }
    const text = value ?? this.#words[this.#at++];
    if (text === undefined) throw new UsageFailure(`flag needs an argument: ${written}`);
    if (kind === 'many') (this.#values.get(name) as string[]).push(text);
    else this.#values.set(name, text);
  }
}

function asBoolean(written: string, value: string): boolean {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
  throw new UsageFailure(`invalid argument "${value}" for ${written}: must be true or false`);
}

/** A whole number given to a flag. */
export function wholeNumber(written: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[+-]?\d{1,15}$/.test(text))
    throw new UsageFailure(`invalid argument "${text}" for ${written}: must be a whole number`);
  return Number(text);
}
