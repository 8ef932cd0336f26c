import { setFlagsFromString } from 'node:v8';
import { HakoError, invalid } from './errors.ts';

/** Looks a field up in what is being filtered: its value, or undefined when it is not there. */
export type FieldOf<T> = (item: T, fieldpath: readonly string[]) => string | undefined;

/** A parsed filter. `get` gives the value at a path, undefined when absent. */
export type Filter = (get: (fieldpath: readonly string[]) => string | undefined) => boolean;

/** Longest filter and longest regular expression in it, in characters; most filters in a request. */
const longestFilter = 16 * 1024;
const longestPattern = 1024;
const mostFilters = 1000;

/**
 * Parses containerd's filters: `name==x`, `labels."a.b"!=c`, `id~=^web`, `labels.foo` (present). Commas mean "and",
 * several filters mean "or", and none at all matches everything, as an empty one does. invalid-argument in the words
 * that containerd's clients know, with the place marked, when one is malformed; only a malformed regular expression is
 * none of these: it matches nothing. `tail` ends the message, for the lists where containerd names the class twice.
 *
 *     selectors := selector ("," selector)*
 *     selector  := fieldpath (operator value)?
 *     fieldpath := field ("." field)*
 *     field     := quoted | [A-Za-z0-9_]+
 *     operator  := "==" | "!=" | "~="
 *     value     := quoted | anything but white space and ","
 *     quoted    := "…" as in Go; after "~=" also /…/ and |…|
 */
export function parseFilters(filters: readonly string[], tail = ''): Filter {
  if (filters.length > mostFilters)
    throw invalid(`filters: ${filters.length} were given, at most ${mostFilters} are allowed`);
  const parsed = filters.map((text) => parseFilter(text, tail));
  if (parsed.length === 0) return () => true;
  return (get) => parsed.some((filter) => filter(get));
}

/** The items that match any of the filters. */
export function filterItems<T>(items: Iterable<T>, filters: readonly string[], fieldOf: FieldOf<T>): T[] {
  const filter = parseFilters(filters);
  return Array.from(items).filter((item) => filter((path) => fieldOf(item, path)));
}

/** The field `labels.KEY`, where the key may have been written with dots and without quotes. */
export function labelField(labels: Readonly<Record<string, string>>, keyParts: readonly string[]): string | undefined {
  const key = keyParts.join('.');
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

/** For the lists of images, containers, leases and sandboxes: they name the class of the parser's error once more. */
export const classTwice = ': invalid argument';

function parseFilter(text: string, tail: string): Filter {
  if (text.length > longestFilter)
    throw invalid(`filter has ${text.length} characters, at most ${longestFilter} are allowed`);
  if (text === '') return () => true;
  const selectors = new Parser(text, tail).selectors();
  return (get) => selectors.every((selector) => selector(get));
}

const operators = ['==', '!=', '~='] as const;
type Operator = (typeof operators)[number];

class Parser {
  readonly #text: string;
  readonly #tail: string;
  #at = 0;

  constructor(text: string, tail: string) {
    this.#text = text;
    this.#tail = tail;
  }

  selectors(): Filter[] {
    const selectors = [this.#selector()];
    while (this.#at < this.#text.length) {
      if (this.#text[this.#at] !== ',') throw this.#error(`unexpected input: ${this.#text[this.#at]}`);
      this.#at++;
      selectors.push(this.#selector());
    }
    return selectors;
  }

  #selector(): Filter {
    const path = this.#fieldpath();
    if (this.#at >= this.#text.length || this.#text[this.#at] === ',') {
      return (get) => get(path) !== undefined;
    }
    const operator = this.#operator();
    this.#skipSpace();
    const value = this.#value(operator);
    // As containerd has it, what is absent counts as empty here; only `==` asks that it be there.
    if (operator === '~=') {
      const matches = pattern(value);
      return (get) => matches(get(path) ?? '');
    }
    if (operator === '!=') return (get) => (get(path) ?? '') !== value;
    return (get) => get(path) === value;
  }

  #fieldpath(): string[] {
    const path = [this.#field()];
    while (this.#text[this.#at] === '.') {
      this.#at++;
      path.push(this.#field());
    }
    return path;
  }

  #field(): string {
    this.#skipSpace();
    if (this.#text[this.#at] === '"') return this.#quoted();
    const name = this.#match(/[A-Za-z0-9_]+/y);
    if (name === undefined) throw this.#error('expected field or quoted');
    return name;
  }

  #operator(): Operator {
    const start = this.#skipSpace();
    const found = this.#match(/[=!~]+/y);
    const operator = operators.find((known) => known === found);
    if (found !== undefined && operator === undefined)
      throw this.#error(`unsupported operator ${JSON.stringify(found)}`, start);
    if (operator === undefined) throw this.#error(`expected an operator ("=="|"!="|"~=")`, start);
    return operator;
  }

  #value(operator: Operator): string {
    const first = this.#text[this.#at];
    if (first === '"') return this.#quoted();
    if (first === '/' || first === '|') {
      if (operator !== '~=') throw this.#error('invalid quote encountered');
      return this.#quoted();
    }
    // A bare value may not begin like a separator or an operator: it would read as one.
    const value = /[.=!~]/.test(first ?? '') ? undefined : this.#match(/[^\s,\p{C}]+/uy);
    if (value === undefined) throw this.#error('expected value or quoted');
    return value;
  }

  /** A quoted string with Go's escapes. */
  #quoted(): string {
    const start = this.#at;
    const quote = this.#text[this.#at++] as string;
    let value = '';
    for (;;) {
      const letter = this.#text[this.#at];
      if (letter === undefined || letter === '\n') throw this.#error('quoted literal not terminated', start);
      this.#at++;
      if (letter === quote) return value;
      value += letter === '\\' ? this.#escape(quote) : letter;
    }
  }

  #escape(quote: string): string {
    const start = this.#at - 1;
    const letter = this.#text[this.#at++] ?? '';
    if (letter === quote || letter === '\\') return letter;
    const simple = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }[letter];
    if (simple !== undefined) return simple;
    const digits = { x: /[0-9a-fA-F]{2}/y, u: /[0-9a-fA-F]{4}/y, U: /[0-9a-fA-F]{8}/y }[letter];
    if (digits !== undefined) {
      const code = Number.parseInt(this.#match(digits) ?? 'none', 16);
      if (code <= 0x10ffff) return String.fromCodePoint(code);
    } else {
      this.#at--;
      const code = Number.parseInt(this.#match(/[0-7]{3}/y) ?? 'none', 8);
      if (code <= 0xff) return String.fromCodePoint(code);
    }
    throw this.#error('illegal escape sequence', start);
  }

  #match(sticky: RegExp): string | undefined {
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #skipSpace(): number {
    this.#match(/\s*/y);
    return this.#at;
  }

  #error(what: string, at: number = this.#at): Error {
    const [before, letter, after] = [this.#text.slice(0, at), this.#text[at], this.#text.slice(at + 1)];
    const place = letter === undefined ? before : `${short(before)} >|${letter}|< ${short(after)}`;
    return invalid(`filters: parse error: [${short(place)}]: ${what}: invalid argument${this.#tail}`);
  }
}

const short = (text: string): string => (text.length > 500 ? `${text.slice(0, 500)}…` : text);

/** What tells whether a text matches; nothing does where the expression is malformed. */
function pattern(source: string): (text: string) => boolean {
  try {
    return linearMatcher(source);
  } catch (error) {
    if (error instanceof HakoError) throw error;
    return () => false;
  }
}

let linearEngine = false;

/**
 * Tells whether a regular expression is found in a text, in time that is proportional to the text, as Go's take,
 * whatever a client wrote: by V8's second engine, which has to be asked for. It refuses back references and
 * look-around, and so does Go. Go's way to write flags and named groups is translated. Throws when malformed.
 */
export function linearMatcher(source: string): (text: string) => boolean {
  if (source.length > longestPattern) {
    throw invalid(`the regular expression has ${source.length} characters, at most ${longestPattern} are allowed`);
  }
  if (!linearEngine) {
    setFlagsFromString('--enable-experimental-regexp-engine');
    linearEngine = true;
  }
  const given = /^\(\?([ims]+)\)/.exec(source);
  const flags = new Set(given?.[1] ?? '');
  let pattern = source
    .slice(given?.[0].length ?? 0)
    .replaceAll('(?P<', '(?<')
    .replaceAll('\\A', '^')
    .replaceAll('\\z', '$');
  // The engine knows no `i`: both sides are compared in small letters instead, but for those that follow a backslash.
  const fold = flags.delete('i');
  if (fold) pattern = pattern.replace(/\\.|[^\\]+/gs, (part) => (part.startsWith('\\') ? part : part.toLowerCase()));
  // `l` asks for the engine. It is V8's own flag, which TypeScript does not know.
  const expression = new RegExp(pattern, `l${[...flags].join('')}`);
  return (text) => expression.test(fold ? text.toLowerCase() : text);
}
