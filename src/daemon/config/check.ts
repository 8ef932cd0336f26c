import { parseDuration } from '#base/duration.ts';
import { HakoError } from '#base/errors.ts';
import { nearest } from '#base/nearest.ts';
import type { Field, LeafField, TableField } from './fields.ts';

export type RawTable = Readonly<Record<string, unknown>>;

/** What one file said, checked; keys that it left out are left out. */
export interface Checked {
  readonly values: RawTable;
  readonly warnings: readonly string[];
}

interface Place {
  readonly file: string;
  readonly path: readonly string[];
}

/** Checks the content of one configuration file. Unknown keys give warnings; a wrong value throws invalid-argument. */
export function checkFile(schema: TableField, raw: RawTable, file: string): Checked {
  const warnings: string[] = [];
  const values = checkTable(schema, raw, { file, path: [] }, warnings, schema);
  return { values, warnings };
}

export const isTable = (value: unknown): value is RawTable =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

function checkTable(table: TableField, raw: RawTable, at: Place, warnings: string[], whole: TableField): RawTable {
  const out: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of Object.entries(raw)) {
    const place = { file: at.file, path: [...at.path, key] };
    const field = Object.hasOwn(table.fields, key) ? table.fields[key] : undefined;
    if (field === undefined) warnings.push(unknownKey(table, key, place, whole));
    else out[key] = checkField(field, value, place, warnings, whole);
  }
  return out;
}

function checkField(field: Field, value: unknown, at: Place, warnings: string[], whole: TableField): unknown {
  switch (field.kind) {
    case 'table':
      return checkTable(field, tableAt(value, at), at, warnings, whole);
    case 'free':
      return tableAt(value, at);
    case 'entries': {
      const out: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
      for (const [key, entry] of Object.entries(tableAt(value, at))) {
        out[key] = checkField(field.of, entry, { file: at.file, path: [...at.path, key] }, warnings, whole);
      }
      return out;
    }
    default: {
      const checked = checkLeaf(field, value, at);
      if (!sameValue(checked, field.default)) warnAbout(field, at, warnings);
      return checked;
    }
  }
}

function warnAbout(field: LeafField, at: Place, warnings: string[]): void {
  if (field.status === 'no-effect') warnings.push(`${at.file}: ${keyPath(at.path)} has no effect in this version`);
}

function tableAt(value: unknown, at: Place): RawTable {
  if (!isTable(value)) throw wrong(at, value, 'a table');
  return value;
}

function checkLeaf(field: LeafField, value: unknown, at: Place): unknown {
  switch (field.kind) {
    case 'text':
      if (typeof value !== 'string') throw wrong(at, value, 'a text in quotes');
      return value;
    case 'path':
      return checkPath(value, at, field.default);
    case 'integer':
      if (typeof value !== 'number' || !Number.isInteger(value) || value < field.min || value > field.max) {
        throw wrong(at, value, `a whole number from ${field.min} to ${field.max}`);
      }
      return value;
    case 'flag':
      if (typeof value !== 'boolean') throw wrong(at, value, 'true or false');
      return value;
    case 'choice':
      if (field.values.some((allowed) => allowed === value)) return value;
      if (field.later.some((later) => later === value)) {
        throw new HakoError(
          'unimplemented',
          `${at.file}: ${keyPath(at.path)} = ${show(value)} is not implemented: use ${oneOf(field.values)}`,
        );
      }
      throw wrong(at, value, oneOf(field.values));
    case 'list':
      if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
        throw wrong(at, value, 'a list of texts, such as ["a", "b"]');
      }
      return value;
    case 'duration': {
      const milliseconds = typeof value === 'string' ? parseDuration(value) : undefined;
      if (milliseconds === undefined || milliseconds < 0)
        throw wrong(at, value, 'a time span such as "500ms" or "1m30s"');
      return milliseconds;
    }
  }
}

function checkPath(value: unknown, at: Place, byDefault: string): string {
  if (typeof value === 'string' && !value.includes('\0')) {
    // As in containerd's files, an empty path means the default one.
    if (value === '') return byDefault;
    if (value.startsWith('/')) return value;
  }
  throw wrong(at, value, 'an absolute path');
}

function unknownKey(table: TableField, key: string, at: Place, whole: TableField): string {
  const sibling = nearest(key, Object.keys(table.fields));
  if (sibling !== undefined) {
    return `${at.file}: unknown key ${keyPath(at.path)} is ignored: did you mean "${sibling}"?`;
  }
  const elsewhere = Object.entries(whole.fields).find(
    ([, field]) => field.kind === 'table' && Object.hasOwn(field.fields, key),
  );
  const hint = elsewhere === undefined ? '' : `: it belongs to [${elsewhere[0]}]`;
  return `${at.file}: unknown key ${keyPath(at.path)} is ignored${hint}`;
}

function wrong(at: Place, found: unknown, allowed: string): HakoError {
  return new HakoError('invalid-argument', `${at.file}: ${keyPath(at.path)} is ${show(found)}: must be ${allowed}`);
}

/** A key as it could stand in the file: `plugins."io.containerd.x".y`. */
export const keyPath = (path: readonly string[]): string =>
  path.map((key) => (/^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key))).join('.');

function show(value: unknown): string {
  if (isTable(value)) return 'a table';
  const text = typeof value === 'string' || Array.isArray(value) ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

const oneOf = (values: readonly string[]): string => {
  const quoted = values.map((value) => `"${value}"`);
  return quoted.length === 1 ? quoted[0]! : `one of ${quoted.join(', ')}`;
};

const sameValue = (a: unknown, b: unknown): boolean =>
  Array.isArray(a) && Array.isArray(b) ? a.length === b.length && a.every((item, i) => item === b[i]) : a === b;
