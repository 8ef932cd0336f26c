import { parseDuration } from '#base/duration.ts';
import type { Labels } from '#core/any.ts';

/**
 * What labels mean to the garbage collector: the rules of containerd 2.4, which hold all of the earlier ones. Nothing
 * here knows rows or time; `gc-graph.ts` does.
 */

/** Kind, namespace and name of a thing, parted by a byte that neither kinds nor namespaces have. A snapshot's name is `snapshotter/key`. */
export type NodeKey = string;

export const nodeKey = (kind: string, namespace: string, name: string): NodeKey => `${kind}\0${namespace}\0${name}`;

/** A name may have that byte after all: only the first two part. */
export function splitKey(key: NodeKey): [kind: string, namespace: string, name: string] {
  const first = key.indexOf('\0');
  const second = key.indexOf('\0', first + 1);
  return [key.slice(0, first), key.slice(first + 1, second), key.slice(second + 1)];
}

/** Names a tree by the id of its row, which stays when a commit changes its key. */
export const treeKey = (id: string): NodeKey => nodeKey('tree', '', id);

export const EXPIRE = 'containerd.io/gc.expire';
export const FLAT = 'containerd.io/gc.flat';
const PREFIX = 'containerd.io/gc.';
const ROOT = 'containerd.io/gc.root';
const REF = 'containerd.io/gc.ref.';
const BACK_REF = 'containerd.io/gc.bref.';
const CONDITION = 'containerd.io/gc.cond.snapshot';
const USED_AT = 'containerd.io/gc.cond.value-usedat';

/** Something that a label names, and the label. */
export interface Reference {
  readonly key: NodeKey;
  readonly label: string;
}

/** Holds a snapshot while one of its `usedat` values is younger, or older, than a span. */
export interface Condition extends Reference {
  readonly operator: '<' | '>';
  readonly spanMs: number;
}

export interface LabelRules {
  /** The label that makes a root of it. */
  readonly root: string | undefined;
  readonly references: readonly Reference[];
  /** What this object hangs on. */
  readonly backReferences: readonly Reference[];
  readonly conditions: readonly Condition[];
  /** When it was used, for other objects' conditions; milliseconds since 1970. */
  readonly usedAt: readonly number[];
}

const none: LabelRules = { root: undefined, references: [], backReferences: [], conditions: [], usedAt: [] };

/** Reads the labels of an object in `namespace`. `kinds` are those of pluggable collectors, which labels may name too. */
export function labelRules(labels: Labels, namespace: string, kinds: readonly string[]): LabelRules {
  let found: { -readonly [Field in keyof LabelRules]: LabelRules[Field] } | undefined;
  for (const key in labels) {
    if (!key.startsWith(PREFIX)) continue;
    const value = labels[key] ?? '';
    found ??= { ...none };
    // Any letter may follow: containerd looks no further than this since 2.2.
    if (key.startsWith(ROOT)) found.root ??= key;
    else if (key.startsWith(REF)) {
      const target = named(key.slice(REF.length), ['content', 'image', ...kinds], namespace, value);
      if (target !== undefined) found.references = [...found.references, { key: target, label: key }];
    } else if (key.startsWith(BACK_REF)) {
      const parent = named(key.slice(BACK_REF.length), ['content', 'image', 'container'], namespace, value);
      if (parent !== undefined) found.backReferences = [...found.backReferences, { key: parent, label: key }];
    } else if (key.startsWith(CONDITION)) {
      found.conditions = [...found.conditions, ...conditionsOf(key, value, namespace)];
    } else if (key.startsWith(USED_AT)) {
      const at = parseTime(value);
      if (at !== undefined) found.usedAt = [...found.usedAt, at];
    }
  }
  return found ?? none;
}

/** After the kind may stand a name of the label's own, parted by a dot or a slash. A snapshotter may have dots in it. */
function named(rest: string, kinds: readonly string[], namespace: string, value: string): NodeKey | undefined {
  if (rest.startsWith('snapshot.')) {
    const snapshotter = rest.slice('snapshot.'.length).split('/', 1)[0] ?? '';
    return nodeKey('snapshot', namespace, `${snapshotter}/${value}`);
  }
  const kind = kinds.find(
    (one) => rest.startsWith(one) && (rest.length === one.length || /[./]/.test(rest[one.length]!)),
  );
  return kind === undefined ? undefined : nodeKey(kind, namespace, value);
}

/** `gc.cond.snapshot.<snapshotter>` = `usedat<24h,usedat>48h|<key>`: any of them holds it. */
function conditionsOf(label: string, value: string, namespace: string): Condition[] {
  const snapshotter =
    label
      .slice(CONDITION.length)
      .replace(/^[./]+/, '')
      .split('/', 1)[0] ?? '';
  const bar = value.indexOf('|');
  if (bar < 0) return [];
  const key = nodeKey('snapshot', namespace, `${snapshotter}/${value.slice(bar + 1)}`);
  const conditions: Condition[] = [];
  for (const text of value.slice(0, bar).split(',')) {
    const matched = /^usedat([<>])(?!=)(.*)$/s.exec(text);
    const spanMs = matched === null ? undefined : parseDuration(matched[2] ?? '');
    if (matched !== null && spanMs !== undefined) {
      conditions.push({ key, label, operator: matched[1] === '<' ? '<' : '>', spanMs });
    }
  }
  return conditions;
}

// What Go's time.Parse takes for RFC 3339: hours of one digit and a comma before the fraction too, small letters not.
const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** Milliseconds since 1970, or undefined where containerd could not read it. */
export function parseTime(text: string): number | undefined {
  const parts = rfc3339.exec(text);
  if (parts === null) return undefined;
  const part = (index: number): number => Number(parts[index] ?? 0);
  const [year, month, day, hour, minute, second] = [part(1), part(2), part(3), part(4), part(5), part(6)];
  if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  if (date.getUTCDate() !== day || day === 0) return undefined;
  if (part(9) > 24 || part(10) > 60) return undefined;
  const offset = (part(9) * 60 + part(10)) * 60_000 * (parts[8] === '-' ? -1 : 1);
  return date.getTime() + Number(`0.${parts[7] ?? 0}`) * 1000 - offset;
}
