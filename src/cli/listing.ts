import { isatty } from 'node:tty';
import { print } from './output.ts';
import { drawTable, type Column } from './table.ts';
import type { Value } from './template-values.ts';

/** One thing that can be asked of a row by `--format '{{.Name}}'`, with the title of its column. */
export interface Field<T> {
  readonly title: string;
  readonly value: (row: T) => string;
  readonly least?: number;
}

export interface Listing<T> {
  readonly rows: readonly T[];
  readonly fields: Readonly<Record<string, Field<T>>>;
  /** Names of the fields that the plain table shows. */
  readonly shown: readonly string[];
  /** The one field of `--quiet`. */
  readonly quiet?: string | undefined;
  readonly format?: string | undefined;
  readonly json?: boolean;
}

/** Prints a listing as a table, as one field a line, as JSON, or by a template. */
export async function printListing<T>(listing: Listing<T>): Promise<void> {
  const { rows, fields, quiet, format } = listing;
  if (listing.json === true) return print(1, `${JSON.stringify(rows, null, 2)}\n`);
  if (quiet !== undefined) return print(1, rows.map((row) => `${fields[quiet]!.value(row)}\n`).join(''));
  if (format === 'json') return print(1, rows.map((row) => `${JSON.stringify(values(fields, row))}\n`).join(''));
  if (format === undefined || format === '' || format === 'table') {
    const columns = listing.shown.map((name): Column<T> => {
      const { title, value, least } = fields[name]!;
      return { title, cell: value, ...(least === undefined ? {} : { least }) };
    });
    return print(1, drawTable(columns, rows, await terminalWidth()));
  }
  await printByTemplate(listing, format.replaceAll('\\t', '\t').replaceAll('\\n', '\n'));
}

async function printByTemplate<T>({ rows, fields }: Listing<T>, format: string): Promise<void> {
  const { renderTemplate } = await import('./template.ts');
  const table = /^table\s+/.exec(format);
  if (table === null) return print(1, rows.map((row) => `${renderTemplate(format, values(fields, row))}\n`).join(''));
  const template = format.slice(table[0].length);
  const titles = Object.fromEntries(Object.entries(fields).map(([name, { title }]) => [name, title]));
  const lines = [titles, ...rows.map((row) => values(fields, row))].map((data) =>
    renderTemplate(template, data).split('\t'),
  );
  const columns = (lines[0] ?? []).map((title, index): Column<string[]> => ({
    title,
    cell: (line) => line[index] ?? '',
  }));
  print(1, drawTable(columns, lines.slice(1), await terminalWidth()));
}

const values = <T>(fields: Readonly<Record<string, Field<T>>>, row: T): { [key: string]: Value } =>
  Object.fromEntries(Object.entries(fields).map(([name, { value }]) => [name, value(row)]));

/** The width of the terminal that stdout is; undefined when it is none. */
export async function terminalWidth(fd: 1 | 2 = 1): Promise<number | undefined> {
  if (!isatty(fd)) return undefined;
  const { columns } = fd === 1 ? process.stdout : process.stderr;
  return columns > 0 ? columns : undefined;
}
