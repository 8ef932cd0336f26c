import type { Labels } from '#core/any.ts';
import type { Digest } from '#core/images.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { IngestRow } from '#metadata/tables/ingests.ts';
import type { SnapshotRow } from '#metadata/tables/snapshots.ts';

/**
 * What holds what, in containerd's rules (its docs/garbage-collection.md). Nodes are strings: kind, namespace and
 * name, parted by a byte that no name has.
 */
type Node = string;

const node = (kind: 'content' | 'snapshot' | 'image' | 'container', namespace: string, name: string): Node =>
  `${kind}\0${namespace}\0${name}`;

const ROOT = 'containerd.io/gc.root';
const EXPIRE = 'containerd.io/gc.expire';
const FLAT = 'containerd.io/gc.flat';
const REF = 'containerd.io/gc.ref.';
const BACK_REF = 'containerd.io/gc.bref.';

/** Rows that nothing holds. */
export interface Garbage {
  readonly blobs: readonly { namespace: string; digest: Digest }[];
  readonly snapshots: readonly SnapshotRow[];
  readonly images: readonly { namespace: string; name: string }[];
  readonly leases: readonly { namespace: string; id: string }[];
  readonly ingests: readonly IngestRow[];
  /** When the next lease, image, blob, snapshot or upload expires. */
  readonly nextExpiry: Date | undefined;
}

/** Finds what nothing holds at the time `now`. Only reads; an ingest for which `isOpen` is never garbage. */
export function findGarbage(ledger: Ledger, now: Date, isOpen: (ingest: IngestRow) => boolean): Garbage {
  const graph = new Graph(now);
  const blobs = ledger.blobs.all();
  const snapshots = ledger.snapshots.all();
  const images = ledger.images.all();
  const leases = ledger.leases.all();
  addObjects(graph, blobs, snapshots, images);
  for (const { namespace, id, labels, snapshotter, key } of ledger.containers.references()) {
    const self = node('container', namespace, id);
    graph.addLabelled(self, namespace, labels);
    graph.addRoot(self);
    if (key !== '') graph.addEdge(self, node('snapshot', namespace, `${snapshotter}/${key}`));
  }
  const leasedIngests = new Set<string>();
  for (const { namespace, id, labels } of leases) {
    if (graph.expired(labels)) continue;
    for (const resource of ledger.leases.resources(namespace, id)) {
      if (resource.type === 'ingests') leasedIngests.add(`${namespace}\0${resource.id}`);
      else graph.addLeased(leasedNode(namespace, resource), labels[FLAT] !== undefined);
    }
  }

  const held = graph.mark();
  const isHeldIngest = (row: IngestRow): boolean =>
    isOpen(row) ||
    leasedIngests.has(`${row.namespace}\0${row.ref}`) ||
    (row.expiresAt !== undefined && graph.ahead(row.expiresAt));
  return {
    blobs: blobs.filter(({ namespace, digest }) => !held.has(node('content', namespace, digest))),
    snapshots: snapshots.filter((row) => !held.has(snapshotNode(row, row.key))),
    images: images.filter(({ namespace, name }) => !held.has(node('image', namespace, name))),
    leases: leases.filter(({ labels }) => graph.expired(labels)),
    ingests: ledger.ingests.all().filter((row) => !isHeldIngest(row)),
    nextExpiry: graph.nextExpiry,
  };
}

function addObjects(
  graph: Graph,
  blobs: ReturnType<Ledger['blobs']['all']>,
  snapshots: readonly SnapshotRow[],
  images: ReturnType<Ledger['images']['all']>,
): void {
  for (const { namespace, digest, labels } of blobs) {
    graph.addLabelled(node('content', namespace, digest), namespace, labels);
  }
  for (const row of snapshots) {
    const self = snapshotNode(row, row.key);
    graph.addLabelled(self, row.namespace, row.labels);
    if (row.parentKey !== '') graph.addAlways(self, snapshotNode(row, row.parentKey));
    // Somebody is making it right now.
    if (!row.confirmed) graph.addRoot(self);
  }
  for (const { namespace, name, labels, target } of images) {
    const self = node('image', namespace, name);
    graph.addLabelled(self, namespace, labels);
    graph.addEdge(self, node('content', namespace, target.digest));
    if (labels[EXPIRE] === undefined) graph.addRoot(self);
  }
}

const snapshotNode = (row: SnapshotRow, key: string): Node =>
  node('snapshot', row.namespace, `${row.snapshotter}/${key}`);

function leasedNode(namespace: string, resource: { type: string; id: string }): Node {
  if (resource.type === 'content') return node('content', namespace, resource.id);
  if (resource.type === 'images') return node('image', namespace, resource.id);
  return node('snapshot', namespace, `${resource.type.slice('snapshots/'.length)}/${resource.id}`);
}

class Graph {
  readonly #now: Date;
  readonly #roots = new Set<Node>();
  /** Held by flat leases: themselves, but not what their labels and targets name. */
  readonly #flat = new Set<Node>();
  readonly #edges = new Map<Node, Node[]>();
  /** Edges that a flat lease follows too: a tree cannot stand without its parents. */
  readonly #always = new Map<Node, Node[]>();
  nextExpiry: Date | undefined;

  constructor(now: Date) {
    this.#now = now;
  }

  addRoot(root: Node): void {
    this.#roots.add(root);
  }

  addLeased(root: Node, flat: boolean): void {
    (flat ? this.#flat : this.#roots).add(root);
  }

  addEdge(from: Node, to: Node): void {
    const edges = this.#edges.get(from);
    if (edges === undefined) this.#edges.set(from, [to]);
    else edges.push(to);
  }

  addAlways(from: Node, to: Node): void {
    this.addEdge(from, to);
    this.#always.set(from, [...(this.#always.get(from) ?? []), to]);
  }

  /** Roots and edges that an object's labels make. */
  addLabelled(self: Node, namespace: string, labels: Labels): void {
    for (const [key, value] of Object.entries(labels)) {
      if (!key.startsWith('containerd.io/gc.')) continue;
      if (key === ROOT || key.startsWith(`${ROOT}.`) || key.startsWith(`${ROOT}/`)) this.addRoot(self);
      else if (key === EXPIRE) {
        if (!this.expired(labels)) this.addRoot(self);
      } else if (key.startsWith(REF)) {
        const target = referred(namespace, key.slice(REF.length), value);
        if (target !== undefined) this.addEdge(self, target);
      } else if (key.startsWith(BACK_REF)) {
        const parent = referred(namespace, key.slice(BACK_REF.length), value);
        if (parent !== undefined) this.addEdge(parent, self);
      }
    }
  }

  /** Whether the label says that its time is over. What cannot be read as a date never expires. */
  expired(labels: Labels): boolean {
    const text = labels[EXPIRE];
    if (text === undefined) return false;
    const at = new Date(text);
    return !Number.isNaN(at.getTime()) && !this.ahead(at);
  }

  /** Whether `at` is still to come; remembers the nearest. */
  ahead(at: Date): boolean {
    if (at <= this.#now) return false;
    if (this.nextExpiry === undefined || at < this.nextExpiry) this.nextExpiry = at;
    return true;
  }

  mark(): Set<Node> {
    const held = new Set<Node>(this.#roots);
    spread(held, this.#edges);
    // Those that flat leases hold come last: they add themselves and their parents, nothing more.
    const flat = new Set<Node>(this.#flat);
    spread(flat, this.#always);
    return held.union(flat);
  }
}

/** Adds everything that can be reached. A set gives what is added while it is walked, too. */
function spread(held: Set<Node>, edges: ReadonlyMap<Node, readonly Node[]>): void {
  for (const from of held) for (const to of edges.get(from) ?? []) held.add(to);
}

/** The node that `gc.ref.<rest>` = value names. After the kind may stand a name of the label's own (`.x`, `/x`). */
function referred(namespace: string, rest: string, value: string): Node | undefined {
  if (rest.startsWith('snapshot.')) {
    const snapshotter = rest.slice('snapshot.'.length).split('/', 1)[0] ?? '';
    return node('snapshot', namespace, `${snapshotter}/${value}`);
  }
  const kind = /^(content|image|container)(?:[./]|$)/.exec(rest)?.[1];
  if (kind === 'content' || kind === 'image' || kind === 'container') return node(kind, namespace, value);
  return undefined;
}
