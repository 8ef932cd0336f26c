/**
 * What may stand in the configuration, as data. A key is described once, in `schema.ts`; checking, merging, printing and
 * the TypeScript type all follow from that description.
 */
interface Leaf<Value> {
  /** One or two sentences for `hakod config default`. */
  readonly doc: string;
  readonly default: Value;
  /**
   * `no-effect`: containerd's key is accepted so that its files can be used, with a warning that nothing follows from it.
   */
  readonly status?: 'no-effect';
  /** The default is worked out from other keys; this shows it in `hakod config default`. */
  readonly derived?: string;
}

export interface TextField extends Leaf<string> {
  readonly kind: 'text';
}
/** An absolute path, or nothing where the default is nothing. */
export interface PathField extends Leaf<string> {
  readonly kind: 'path';
}
export interface IntegerField<Value extends number = number> extends Leaf<Value> {
  readonly kind: 'integer';
  readonly min: number;
  readonly max: number;
}
export interface FlagField extends Leaf<boolean> {
  readonly kind: 'flag';
}
export interface ChoiceField<Value extends string = string> extends Leaf<Value> {
  readonly kind: 'choice';
  readonly values: readonly Value[];
  /** Values that are meant to come: refused as not implemented rather than as unknown. */
  readonly later: readonly string[];
}
/** Several texts. Files that are imported add to them instead of replacing them. */
export interface ListField extends Leaf<readonly string[]> {
  readonly kind: 'list';
}
/** Go's way to write a time span (`1m30s`); the value is in milliseconds. */
export interface DurationField extends Leaf<number> {
  readonly kind: 'duration';
}
export interface TableField<Fields extends Readonly<Record<string, Field>> = Readonly<Record<string, Field>>> {
  readonly kind: 'table';
  readonly doc: string;
  readonly fields: Fields;
}
/** A table whose keys the user chooses, every value of one shape. */
export interface EntriesField<Of extends Field = Field> {
  readonly kind: 'entries';
  readonly doc: string;
  readonly of: Of;
}
/** A table that someone else checks, such as a plugin its own configuration. */
export interface FreeField {
  readonly kind: 'free';
  readonly doc: string;
}

export type LeafField = TextField | PathField | IntegerField | FlagField | ChoiceField | ListField | DurationField;
// The circle through TableField needs an interface to stand on; that is the only reason for `Field` to be a union here.
export type Field = LeafField | TableField | EntriesField | FreeField;

/** The type of the values that a description allows. */
export type ValueOf<F> = F extends { kind: 'table'; fields: infer Fields }
  ? { readonly [Key in keyof Fields]: ValueOf<Fields[Key]> }
  : F extends { kind: 'entries'; of: infer Of }
    ? Readonly<Record<string, ValueOf<Of>>>
    : F extends { kind: 'free' }
      ? Readonly<Record<string, unknown>>
      : F extends ChoiceField<infer Value>
        ? Value
        : F extends { default: infer Value }
          ? Value
          : never;

type Extra = Pick<TextField, 'status' | 'derived'>;

export const text = (doc: string, value = '', extra: Extra = {}): TextField => ({
  kind: 'text',
  doc,
  default: value,
  ...extra,
});
export const path = (doc: string, value = '', extra: Extra = {}): PathField => ({
  kind: 'path',
  doc,
  default: value,
  ...extra,
});
export const flag = (doc: string, value: boolean, extra: Extra = {}): FlagField => ({
  kind: 'flag',
  doc,
  default: value,
  ...extra,
});
export const list = (doc: string, extra: Extra = {}): ListField => ({ kind: 'list', doc, default: [], ...extra });
export const integer = (
  doc: string,
  value: number,
  range: { min: number; max: number },
  extra: Extra = {},
): IntegerField => ({ kind: 'integer', doc, default: value, ...range, ...extra });
export const duration = (doc: string, milliseconds: number, extra: Extra = {}): DurationField => ({
  kind: 'duration',
  doc,
  default: milliseconds,
  ...extra,
});
export const choice = <const Value extends string>(
  doc: string,
  values: readonly Value[],
  value: NoInfer<Value>,
  later: readonly string[] = [],
): ChoiceField<Value> => ({ kind: 'choice', doc, values, default: value, later });
export const table = <const Fields extends Readonly<Record<string, Field>>>(
  doc: string,
  fields: Fields,
): TableField<Fields> => ({ kind: 'table', doc, fields });
export const entries = <const Of extends Field>(doc: string, of: Of): EntriesField<Of> => ({
  kind: 'entries',
  doc,
  of,
});
export const free = (doc: string): FreeField => ({ kind: 'free', doc });
