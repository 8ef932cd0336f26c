import type { Labels } from '#core/any.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { SnapshotRow } from '#metadata/tables/snapshots.ts';
import type { Collectible } from './gc-collectors.ts';
import {
  EXPIRE,
  FLAT,
  labelRules,
  nodeKey,
  parseTime,
  type Condition,
  type LabelRules,
  type NodeKey,
} from './gc-rules.ts';
import { pullLabel } from './pull-label.ts';

/** The tables that the collector reads; a sandbox holds what its labels name. */
export type GcTables = Pick<Ledger, 'blobs' | 'snapshots' | 'images' | 'containers' | 'leases' | 'ingests'> & {
  readonly sandboxes?: { references(): Iterable<{ namespace: string; id: string; labels: Labels }> };
};

/** What is known outside the ledger. Plain data: it goes to a worker. */
export interface GcFacts {
  /** The time, in milliseconds since 1970: all of a search sees the same one. */
  readonly now: number;
  /** Ids of uploads that somebody is writing to. */
  readonly openIngests: readonly string[];
  readonly collectibles: readonly (Collectible & { readonly kind: string })[];
  /** Kinds of collectibles that labels may name. */
  readonly kinds: readonly string[];
}

/** What a row is, as far as its removal needs it. */
export interface GcRow {
  /** Of a snapshot or an upload. */
  readonly id?: string;
  /** Undefined where the disk has to be asked. */
  readonly bytes?: number;
  readonly names?: readonly string[];
}

/** Before the key of what a flat lease holds. */
export const FLAT_PREFIX = 'flat\0';

export interface Edge {
  readonly to: number;
  /** A label, or a word of ours. */
  readonly by: string;
  /** When it ends by itself. */
  readonly until?: number;
}

export interface Root {
  readonly why: string;
  readonly until?: number;
}

/**
 * Everything that holds or is held, as nodes and edges. A flat lease holds nodes of their own, whose edges are only those
 * that a flat lease follows; they stand for the same things.
 */
export class GcGraph {
  readonly facts: GcFacts;
  readonly keys: NodeKey[] = [];
  readonly edges: Edge[][] = [];
  readonly rows: (GcRow | undefined)[] = [];
  readonly roots = new Map<number, Root>();
  /** By the node that it stands for. */
  readonly flat = new Map<number, number>();
  /** When the next thing expires by itself. */
  nextExpiry: number | undefined;
  readonly #indexes = new Map<NodeKey, number>();
  readonly #conditions: (Condition & { readonly from: number })[] = [];
  readonly #usedAt = new Map<number, readonly number[]>();

  constructor(tables: GcTables, facts: GcFacts) {
    this.facts = facts;
    this.#addBlobs(tables);
    this.#addSnapshots(tables.snapshots.all());
    this.#addImages(tables);
    this.#addContainers(tables);
    this.#addIngests(tables);
    for (const { namespace, id, labels } of tables.sandboxes?.references() ?? []) {
      const self = this.#own('sandbox', namespace, id, {});
      this.#root(self, 'a sandbox');
      this.#refer(self, this.#rules(labels, namespace));
    }
    this.#addCollectibles();
    this.#addLeases(tables);
    this.#addConditions();
  }

  find(key: NodeKey): number | undefined {
    return this.#indexes.get(key);
  }

  /** Marks all that can be reached from roots and over edges that hold until `until` or longer. Flat ones count for what they stand for. */
  mark(until?: number): Uint8Array {
    const marked = new Uint8Array(this.keys.length);
    const lasts = (at: number | undefined): boolean => at === undefined || (until !== undefined && at >= until);
    const queue: number[] = [];
    for (const [root, { until: end }] of this.roots) {
      if (until === undefined || lasts(end)) queue.push(root);
    }
    for (const root of queue) marked[root] = 1;
    for (let at = 0; at < queue.length; at += 1) {
      for (const edge of this.edges[queue[at]!]!) {
        if (marked[edge.to] === 1 || (until !== undefined && !lasts(edge.until))) continue;
        marked[edge.to] = 1;
        queue.push(edge.to);
      }
    }
    for (const [node, flat] of this.flat) if (marked[flat] === 1) marked[node] = 1;
    return marked;
  }

  #rules(labels: Labels, namespace: string): LabelRules {
    return labelRules(labels, namespace, this.facts.kinds);
  }

  #index(key: NodeKey): number {
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    const index = this.keys.push(key) - 1;
    this.#indexes.set(key, index);
    this.edges.push([]);
    this.rows.push(undefined);
    return index;
  }

  /** A node that there is a row of. Others are only spoken of. */
  #own(kind: string, namespace: string, name: string, row: GcRow): number {
    const index = this.#index(nodeKey(kind, namespace, name));
    this.rows[index] = row;
    return index;
  }

  #root(node: number, why: string, until?: number): void {
    const before = this.roots.get(node);
    // Of several reasons the one that lasts longest counts.
    if (before !== undefined && (before.until ?? Infinity) >= (until ?? Infinity)) return;
    this.roots.set(node, until === undefined ? { why } : { why, until });
    if (until !== undefined) this.#expires(until);
  }

  #edge(from: number, to: number, by: string, until?: number): void {
    this.edges[from]!.push(until === undefined ? { to, by } : { to, by, until });
  }

  #expires(at: number): void {
    if (this.nextExpiry === undefined || at < this.nextExpiry) this.nextExpiry = at;
  }

  #refer(self: number, rules: LabelRules): void {
    for (const { key, label } of rules.references) this.#edge(self, this.#index(key), label);
  }

  #referBack(self: number, rules: LabelRules): void {
    for (const { key, label } of rules.backReferences) this.#edge(this.#index(key), self, label);
  }

  #condition(self: number, rules: LabelRules): void {
    for (const condition of rules.conditions) this.#conditions.push({ ...condition, from: self });
  }

  #addBlobs(tables: GcTables): void {
    for (const { namespace, digest, size, labels } of tables.blobs.all()) {
      const self = this.#own('content', namespace, digest, { bytes: size });
      const rules = this.#rules(labels, namespace);
      if (rules.root !== undefined) this.#root(self, rules.root);
      this.#refer(self, rules);
      this.#referBack(self, rules);
      this.#condition(self, rules);
    }
  }

  #addSnapshots(rows: readonly SnapshotRow[]): void {
    for (const row of rows) {
      const { namespace, snapshotter, id, bytes } = row;
      const committed = row.kind === 'committed';
      const self = this.#own('snapshot', namespace, `${snapshotter}/${row.key}`, committed ? { id, bytes } : { id });
      const rules = this.#rules(row.labels, namespace);
      if (rules.root !== undefined) this.#root(self, rules.root);
      if (!row.confirmed) this.#root(self, 'it is being made');
      if (row.parentKey !== '') {
        this.#edge(self, this.#index(nodeKey('snapshot', namespace, `${snapshotter}/${row.parentKey}`)), 'parent');
      }
      this.#refer(self, rules);
      this.#referBack(self, rules);
      if (rules.usedAt.length > 0) this.#usedAt.set(self, rules.usedAt);
    }
  }

  #addImages(tables: GcTables): void {
    for (const { namespace, name, labels, target } of tables.images.all()) {
      const self = this.#own('image', namespace, name, { bytes: 0 });
      const rules = this.#rules(labels, namespace);
      // What cannot be read as a time never comes.
      const until = parseTime(labels[EXPIRE] ?? '');
      if (until === undefined) this.#root(self, 'an image');
      else if (until >= this.facts.now) this.#root(self, 'an image until it expires', until);
      this.#edge(self, this.#index(nodeKey('content', namespace, target.digest)), 'target');
      this.#refer(self, rules);
      this.#referBack(self, rules);
      this.#condition(self, rules);
    }
  }

  #addContainers(tables: GcTables): void {
    for (const { namespace, id, labels, snapshotter, key } of tables.containers.references()) {
      const name = labels['nerdctl/name'];
      const self = this.#own('container', namespace, id, name === undefined ? {} : { names: [name] });
      this.#root(self, 'a container');
      if (snapshotter !== '')
        this.#edge(self, this.#index(nodeKey('snapshot', namespace, `${snapshotter}/${key}`)), 'snapshot');
      this.#refer(self, this.#rules(labels, namespace));
    }
  }

  #addIngests(tables: GcTables): void {
    const open = new Set(this.facts.openIngests);
    for (const { namespace, ref, id, expiresAt } of tables.ingests.all()) {
      const self = this.#own('ingest', namespace, ref, { id });
      if (open.has(id)) this.#root(self, 'it is being written');
      const until = expiresAt?.getTime();
      if (until !== undefined && until >= this.facts.now) this.#root(self, 'an upload until it expires', until);
    }
  }

  #addCollectibles(): void {
    for (const { kind, namespace, name, active, labels } of this.facts.collectibles) {
      const self = this.#own(kind, namespace, name, {});
      if (active) this.#root(self, 'it is in use');
      this.#referBack(self, this.#rules(labels ?? {}, namespace));
    }
  }

  #addLeases(tables: GcTables): void {
    const live = new Map<string, { self: number; flat: boolean }>();
    for (const { namespace, id, labels } of tables.leases.all()) {
      const self = this.#own('lease', namespace, id, { bytes: 0 });
      const until = parseTime(labels[EXPIRE] ?? '');
      if (until !== undefined && until < this.facts.now) continue;
      const pull = labels[pullLabel];
      const what = pull === undefined ? 'a lease' : `the lease of an unfinished pull of ${pull}`;
      this.#root(self, until === undefined ? what : `${what} until it expires`, until);
      live.set(`${namespace}\0${id}`, { self, flat: labels[FLAT] !== undefined });
    }
    for (const { namespace, lease, type, id } of tables.leases.allResources()) {
      const holder = live.get(`${namespace}\0${lease}`);
      if (holder === undefined) continue;
      const held = this.#index(resourceKey(namespace, type, id));
      this.#edge(holder.self, holder.flat ? this.#flatten(held) : held, 'lease');
    }
    for (const { kind, namespace, name, lease } of this.facts.collectibles) {
      const holder = live.get(`${namespace}\0${lease ?? ''}`);
      if (holder !== undefined) this.#edge(holder.self, this.#index(nodeKey(kind, namespace, name)), 'lease');
    }
  }

  /** The node by which a flat lease holds it: with its parents, or its target, but nothing that labels name. */
  #flatten(node: number): number {
    if (!/^(?:content|snapshot|image)\0/.test(this.keys[node]!)) return node;
    const first = this.#index(FLAT_PREFIX + this.keys[node]!);
    for (let at = node; !this.flat.has(at);) {
      const flat = this.#index(FLAT_PREFIX + this.keys[at]!);
      this.flat.set(at, flat);
      const next = this.edges[at]!.find(({ by }) => by === 'parent' || by === 'target');
      if (next === undefined) break;
      this.#edge(flat, this.#index(FLAT_PREFIX + this.keys[next.to]!), next.by);
      at = next.to;
    }
    return first;
  }

  /** Conditions come last: a value may stand on any object of any namespace that was read. */
  #addConditions(): void {
    const { now } = this.facts;
    for (const { from, key, label, operator, spanMs } of this.#conditions) {
      const to = this.#indexes.get(key);
      for (const at of (to === undefined ? undefined : this.#usedAt.get(to)) ?? []) {
        if (operator === '>' && now - at > spanMs) this.#edge(from, to!, label);
        if (operator !== '<' || now - at >= spanMs) continue;
        this.#edge(from, to!, label, at + spanMs);
        this.#expires(at + spanMs);
      }
    }
  }
}

/** What a lease's resource is. Types are checked when they come in. */
export function resourceKey(namespace: string, type: string, id: string): NodeKey {
  if (type.startsWith('snapshots/')) return nodeKey('snapshot', namespace, `${type.slice('snapshots/'.length)}/${id}`);
  return nodeKey(type === 'content' ? 'content' : type.replace(/s$/, ''), namespace, id);
}
