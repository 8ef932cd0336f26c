import { Moment } from '#base/moment.ts';
import type { Any, Labels } from '#core/any.ts';
import type { Row, Value } from './sqlite.ts';

/** Reads and prints columns. A row of the wrong shape is a bug of ours or damage, so it throws a plain error. */

export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw new Error(`ledger column ${column} is not text`);
  return value;
}

export function number(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number') throw new Error(`ledger column ${column} is not a number`);
  return value;
}

/** Dates are kept in microseconds since 1970. */
export const date = (row: Row, column: string): Moment => new Moment(number(row, column));

export const optionalDate = (row: Row, column: string): Moment | undefined =>
  row[column] === null ? undefined : date(row, column);

/** An Any from its two columns; both are NULL when there is none. */
export function any(row: Row, typeColumn: string, valueColumn: string): Any | undefined {
  const value = row[valueColumn];
  return value instanceof Uint8Array ? { typeUrl: text(row, typeColumn), value } : undefined;
}

export const labels = (row: Row, column = 'labels'): Labels => JSON.parse(text(row, column)) as Labels;

/** An empty value means that the label is not there: containerd's way to delete one by a field mask. */
export function labelsJson(map: Labels): Value {
  return JSON.stringify(Object.fromEntries(Object.entries(map).filter(([, value]) => value !== '')));
}

/** Anys by name, as JSON: their bytes in base64. */
export function anysJson(map: Readonly<Record<string, Any>>): string {
  return JSON.stringify(
    Object.entries(map).map(([key, { typeUrl, value }]) => [key, typeUrl, Buffer.from(value).toString('base64')]),
  );
}

export function anys(row: Row, column: string): Record<string, Any> {
  const entries = JSON.parse(text(row, column)) as [string, string, string][];
  return Object.fromEntries(
    entries.map(([key, typeUrl, value]) => [key, { typeUrl, value: new Uint8Array(Buffer.from(value, 'base64')) }]),
  );
}
