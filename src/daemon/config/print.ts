import { stringify } from 'smol-toml';
import { formatDuration } from '#base/duration.ts';
import { keyPath, type RawTable } from './check.ts';
import type { Field, LeafField, TableField } from './fields.ts';

/**
 * A configuration as TOML that `loadConfig` reads back. With `comments` every key is explained, and what follows from
 * other keys is commented out.
 */
export function printConfig(schema: TableField, values: RawTable, options: { comments: boolean }): string {
  const lines: string[] = [];
  if (options.comments)
    lines.push(`# ${schema.doc}`, '# Every key is shown with its default; take out what you do not change.', '');
  printTable(schema, values, [], options.comments, lines);
  return `${lines.join('\n').trimEnd()}\n`;
}

function printTable(
  table: TableField,
  values: RawTable,
  path: readonly string[],
  comments: boolean,
  lines: string[],
): void {
  const fields = Object.entries(table.fields);
  // TOML counts every key after a header as that header's, so the plain ones come first.
  for (const [key, field] of fields) {
    if (!isNested(field)) printLeaf(key, field, values[key], comments, lines);
  }
  for (const [key, field] of fields) {
    if (isNested(field)) printNested([...path, key], field, (values[key] ?? {}) as RawTable, comments, lines);
  }
}

const isNested = (field: Field): field is Exclude<Field, LeafField> =>
  field.kind === 'table' || field.kind === 'entries' || field.kind === 'free';

function printNested(
  path: readonly string[],
  field: Exclude<Field, LeafField>,
  values: RawTable,
  comments: boolean,
  lines: string[],
): void {
  if (comments && field.doc !== '') lines.push('', `# ${field.doc}`);
  if (field.kind === 'table') {
    lines.push(...(comments ? [] : ['']), `[${keyPath(path)}]`);
    printTable(field, values, path, comments, lines);
  } else if (field.kind === 'entries') {
    if (comments) printExample(path, field.of, lines);
    for (const [key, value] of Object.entries(values)) {
      printNested([...path, key], field.of as Exclude<Field, LeafField>, value as RawTable, comments, lines);
    }
  } else {
    printFree(path, values, lines);
  }
}

/** An entry that nobody has made yet, commented out. */
function printExample(path: readonly string[], of: Field, lines: string[]): void {
  if (of.kind !== 'table') return;
  lines.push(`# [${keyPath([...path, 'NAME'])}]`);
  for (const [key, field] of Object.entries(of.fields)) {
    if (!isNested(field)) lines.push(`# ${key} = ${printValue(field, field.default)}`);
  }
}

function printFree(path: readonly string[], values: RawTable, lines: string[]): void {
  if (Object.keys(values).length === 0) return;
  let nested: RawTable = values;
  for (const key of path.toReversed()) nested = { [key]: nested };
  lines.push('', stringify(nested).trimEnd());
}

function printLeaf(key: string, field: LeafField, value: unknown, comments: boolean, lines: string[]): void {
  const line = `${keyPath([key])} = ${printValue(field, value ?? field.default)}`;
  if (!comments) {
    lines.push(line);
    return;
  }
  const more = field.status === 'no-effect' ? ' Has no effect yet.' : '';
  const byDefault = field.derived === undefined ? '' : ` By default ${field.derived}.`;
  lines.push(`# ${field.doc}${byDefault}${allowed(field)}${more}`);
  lines.push(field.derived === undefined ? line : `# ${line}`);
}

function allowed(field: LeafField): string {
  if (field.kind === 'choice') return ` One of: ${field.values.join(', ')}.`;
  return '';
}

function printValue(field: LeafField, value: unknown): string {
  if (field.kind === 'duration') return JSON.stringify(formatDuration(value as number));
  if (Array.isArray(value)) return `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
  return JSON.stringify(value);
}
