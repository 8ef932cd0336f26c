import { print } from '../output.ts';
import { setTabs, type TabStops } from './tabs.ts';

export interface Table<T> {
  readonly rows: readonly T[];
  /** Titles as they are printed, each ended by a tab. An empty last one ends the line with its column's padding. */
  readonly titles: readonly string[];
  readonly cells: (row: T) => readonly string[];
  readonly stops: TabStops;
  /** What `--quiet` prints of a row. */
  readonly name: (row: T) => string;
  /** What `--json` prints of a row. */
  readonly json: (row: T) => unknown;
}

/** Prints a listing as a table with `ctr`'s columns, as one name a line, or as JSON. */
export function printTable<T>(table: Table<T>, flags: { readonly quiet?: boolean; readonly json: boolean }): void {
  const { rows, titles, cells, stops, name, json } = table;
  if (flags.json) printJson(rows.map(json));
  else if (flags.quiet === true) print(1, rows.map((row) => `${name(row)}\n`).join(''));
  else print(1, setTabs([titles, ...rows.map((row) => cells(row).map(oneLine))], stops));
}

/** What somebody else has named must not draw on our terminal. */
// oxlint-disable-next-line no-control-regex
const oneLine = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');

/** Labels as `ctr` prints them: sorted, `a=b,c=d`; a dash, or what is given, where there is none. */
export function labelText(labels: Readonly<Record<string, string>>, none = '-'): string {
  const found = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return found.length === 0 ? none : found.sort(byBytes).join(',');
}

/** The order that Go's sort.Strings gives: by bytes, not by language. */
export const byBytes = (a: string, b: string): number => (a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b)));

/** Prints JSON for machines and people, indented by four as `ctr` does. */
export function printJson(value: unknown): void {
  print(1, `${goJson(value)}\n`);
}

/** JSON as Go prints it: the characters that HTML minds are escaped, whole numbers keep all their digits. */
export function goJson(value: unknown, indent: number | undefined = 4): string {
  const text = JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? rawJson(one) : one), indent);
  return text.replace(/[<>&\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const rawJson = (value: bigint): unknown =>
  (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(value.toString());
