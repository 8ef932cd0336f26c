import { createHash } from 'node:crypto';

/** Random worlds of things that hold each other, and what a reader of containerd's rules says is to stay. */

export interface Thing {
  readonly kind: 'content' | 'snapshot' | 'image' | 'container' | 'ingest';
  readonly namespace: string;
  /** Digest, key, name, id or ref. */
  readonly name: string;
  readonly labels: Record<string, string>;
  /** Of a snapshot and a container. */
  readonly snapshotter?: string;
  /** A snapshot's parent, a container's snapshot, an image's blob. */
  readonly on?: string;
  /** Of an upload: whether its day has not passed yet. */
  readonly fresh?: boolean;
}

export interface WorldLease {
  readonly namespace: string;
  readonly id: string;
  readonly labels: Record<string, string>;
  readonly resources: readonly { readonly type: string; readonly id: string }[];
}

export interface World {
  readonly seed: number;
  readonly things: readonly Thing[];
  readonly leases: readonly WorldLease[];
}

/** Which of containerd's rules a world may touch: they grew over its releases. */
export interface WorldOptions {
  /** `gc.expire` of images, leases of images, `gc.ref.image`. Since 2.0. */
  readonly images: boolean;
  /** Back references, `gc.root` with anything behind it. Since 2.2. */
  readonly backReferences: boolean;
  /** Since 2.3. */
  readonly conditions: boolean;
  readonly ingests: boolean;
  readonly snapshotters: readonly string[];
  readonly prefix?: string;
}

const HOUR = 3_600_000;
const inHours = (hours: number): string => new Date(Date.now() + hours * HOUR).toISOString();
export const blobText = (prefix: string, seed: number, index: number): string => `${prefix}${seed}-${index}`;
const digestOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/** mulberry32: the same numbers for the same seed. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function randomWorld(seed: number, options: WorldOptions): World {
  const random = randomNumbers(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)]!;
  const chance = (of: number): boolean => random() < of;
  const prefix = options.prefix ?? 'w';
  const namespaces = [`${prefix}${seed}a`, `${prefix}${seed}b`].slice(0, chance(0.3) ? 2 : 1);
  const digests = Array.from({ length: 2 + below(6) }, (_, index) => digestOf(blobText(prefix, seed, index)));
  const keys = Array.from({ length: 1 + below(6) }, (_, index) => `tree ${index}`);
  const images = Array.from({ length: 1 + below(3) }, (_, index) => `image-${index}`);
  const containers = Array.from({ length: below(3) }, (_, index) => `container-${index}`);

  const label = (kind: Thing['kind']): [string, string] => {
    const forms: (() => [string, string])[] = [
      () => ['gc.ref.content', pick(digests)],
      () => [`gc.ref.content${pick(['.0', '/a', 'x', '.a/b', '-0'])}`, pick(digests)],
      () => [`gc.ref.content.${below(3)}`, pick(digests)],
      () => [`gc.ref.snapshot.${pick(options.snapshotters)}`, pick(keys)],
      () => [`gc.ref.snapshot.${pick(options.snapshotters)}${pick(['/a', '/a/b', '.a'])}`, pick(keys)],
      () => ['gc.ref.contents', pick(digests)],
      () => ['gc.reference', pick(digests)],
      () => ['something.else', pick(digests)],
    ];
    if (kind !== 'image') forms.push(() => ['gc.expire', inHours(pick([-1, 1]))]);
    if (kind === 'content' || kind === 'snapshot') forms.push(() => ['gc.root', 'yes']);
    if (options.images) forms.push(() => [`gc.ref.image${pick(['', '.a', '/b', 's'])}`, pick(images)]);
    if (options.images && kind === 'image') {
      for (let more = 0; more < 4; more += 1)
        forms.push(() => ['gc.expire', pick([inHours(-1), inHours(-2), inHours(1), 'tomorrow'])]);
    }
    if (options.backReferences) {
      forms.push(
        () => [`gc.bref.content${pick(['', '.a', '/b', 's'])}`, pick(digests)],
        () => [`gc.bref.image${pick(['', '.a', '/b', 's'])}`, pick(images)],
        () => [`gc.bref.container${pick(['', '.a', '/b', 's'])}`, pick(['container-0', 'container-1'])],
        () => [`gc.bref.snapshot.${pick(options.snapshotters)}${pick(['', '/a', '.a'])}`, pick(keys)],
        () => [`gc.root${pick(['.a', '/b', 's'])}`, 'yes'],
      );
    }
    if (options.conditions) {
      const condition = (): string =>
        `${pick(['usedat', 'madeat'])}${pick(['<', '>', '<=', '='])}${pick(['1h', '90m', '5h', 'soon'])}`;
      forms.push(
        () => [
          `gc.cond.snapshot${pick(['.', '/', './', ''])}${pick(options.snapshotters)}${pick(['', '/a'])}`,
          `${condition()}|${pick(keys)}`,
        ],
        () => [`gc.cond.snapshot.${pick(options.snapshotters)}`, `${condition()},${condition()}|${pick(keys)}`],
        () => [`gc.cond.snapshot.${pick(options.snapshotters)}`, condition()],
        () => [`gc.cond.value-usedat${pick(['', '.a', 's'])}`, pick([inHours(-3), inHours(-0.5), 'yesterday'])],
      );
    }
    const [key, value] = pick(forms)();
    return [`containerd.io/${key}`, value];
  };
  const labels = (kind: Thing['kind']): Record<string, string> =>
    Object.fromEntries(Array.from({ length: chance(0.3) ? 0 : 1 + below(3) }, () => label(kind)));

  const things: Thing[] = [];
  for (const namespace of namespaces) {
    for (const name of digests)
      if (chance(0.8)) things.push({ kind: 'content', namespace, name, labels: labels('content') });
    for (const snapshotter of options.snapshotters) {
      const made: string[] = [];
      for (const name of keys) {
        if (!chance(0.7)) continue;
        const on = made.length > 0 && chance(0.6) ? { on: pick(made) } : {};
        things.push({ kind: 'snapshot', namespace, name, snapshotter, labels: labels('snapshot'), ...on });
        made.push(name);
      }
    }
    for (const name of images) {
      if (chance(0.6)) things.push({ kind: 'image', namespace, name, labels: labels('image'), on: pick(digests) });
    }
    for (const name of containers) {
      const on = chance(0.7) ? { on: pick(keys), snapshotter: pick(options.snapshotters) } : {};
      things.push({ kind: 'container', namespace, name, labels: labels('container'), ...on });
    }
    if (!options.ingests) continue;
    for (let index = below(3); index > 0; index -= 1) {
      things.push({ kind: 'ingest', namespace, name: `upload-${index}`, labels: {}, fresh: chance(0.5) });
    }
  }
  const types = ['content', 'content', ...(options.images ? ['images'] : []), ...(options.ingests ? ['ingests'] : [])];
  const resource = (): { type: string; id: string } => {
    const type = pick([...types, ...options.snapshotters.map((one) => `snapshots/${one}`)]);
    if (type === 'content') return { type, id: pick(digests) };
    if (type === 'images') return { type, id: pick(images) };
    return { type, id: type === 'ingests' ? `upload-${1 + below(2)}` : pick(keys) };
  };
  const leases = namespaces.flatMap((namespace) =>
    Array.from({ length: below(4) }, (_, index): WorldLease => {
      const flat = chance(0.5) ? { 'containerd.io/gc.flat': 'yes' } : {};
      const expire = chance(0.6)
        ? { 'containerd.io/gc.expire': pick([inHours(-1), inHours(1), '2020-01-01', '2020-01-01T1:00:00,5Z']) }
        : {};
      const resources = Array.from({ length: below(5) }, resource);
      return { namespace, id: `lease-${index}`, labels: { ...flat, ...expire }, resources };
    }),
  );
  return { seed, things, leases };
}

/** How a thing is called in the answer: kind, namespace, snapshotter of a snapshot, name. */
export const worldName = (thing: {
  kind: string;
  namespace: string;
  name: string;
  snapshotter?: string | undefined;
}): string =>
  [thing.kind, thing.namespace, ...(thing.kind === 'snapshot' ? [thing.snapshotter] : []), thing.name].join(' ');

/** What stays, by going over all rules again and again until nothing more is held. */
export function survivors(world: World): string[] {
  const now = Date.now();
  const names = new Set(world.things.map(worldName));
  // Names of things that are not there, too: what hangs on such a name by its own label is held with it.
  const held = new Set<string>();
  const heldFlat = new Set<string>();
  const expired = (text: string | undefined): boolean =>
    text !== undefined &&
    /^\d{4}-\d\d-\d\dT\d+:\d\d:\d\d.*Z$/.test(text) &&
    Date.parse(text.replace('T1:', 'T01:').replace(',', '.')) < now;
  const liveLeases = world.leases.filter(({ labels }) => !expired(labels['containerd.io/gc.expire']));

  const named = (namespace: string, label: string, sort: 'ref' | 'bref', value: string): string | undefined => {
    const simple = new RegExp(
      `^containerd\\.io/gc\\.${sort}\\.(content|image${sort === 'bref' ? '|container' : ''})([./].*)?$`,
    ).exec(label);
    if (simple !== null) return worldName({ kind: simple[1]!, namespace, name: value });
    const tree = new RegExp(`^containerd\\.io/gc\\.${sort}\\.snapshot\\.([^/]*)`).exec(label);
    return tree === null ? undefined : worldName({ kind: 'snapshot', namespace, snapshotter: tree[1]!, name: value });
  };
  const hours: Record<string, number> = { '1h': 1, '90m': 1.5, '5h': 5 };
  const conditionHolds = (condition: string, tree: Thing): boolean => {
    const parts = /^usedat([<>])(1h|90m|5h)$/.exec(condition);
    if (parts === null) return false;
    return Object.entries(tree.labels).some(([key, value]) => {
      if (!key.startsWith('containerd.io/gc.cond.value-usedat') || Number.isNaN(Date.parse(value))) return false;
      const age = (now - Date.parse(value)) / HOUR;
      return parts[1] === '<' ? age < hours[parts[2]!]! : age > hours[parts[2]!]!;
    });
  };
  const conditioned = (thing: Thing, tree: Thing): boolean =>
    tree.kind === 'snapshot' &&
    tree.namespace === thing.namespace &&
    Object.entries(thing.labels).some(([key, value]) => {
      const label = /^containerd\.io\/gc\.cond\.snapshot[./]*([^./][^/]*)/.exec(key);
      const [conditions, ...rest] = value.split('|');
      if (label?.[1] !== tree.snapshotter || rest.join('|') !== tree.name) return false;
      return conditions!.split(',').some((condition) => conditionHolds(condition, tree));
    });

  const isRoot = (thing: Thing): boolean => {
    if (thing.kind === 'container') return true;
    if (thing.kind === 'image') return !expired(thing.labels['containerd.io/gc.expire']);
    if (thing.kind === 'ingest') return thing.fresh === true;
    return Object.keys(thing.labels).some((key) => key.startsWith('containerd.io/gc.root'));
  };
  const add = (to: Set<string>, name: string | undefined): void => {
    if (name !== undefined) to.add(name);
  };
  for (const thing of world.things) if (isRoot(thing)) held.add(worldName(thing));
  for (const lease of liveLeases) {
    const flat = lease.labels['containerd.io/gc.flat'] !== undefined;
    for (const { type, id } of lease.resources) {
      const [kind, snapshotter] = type.split('/');
      const name = worldName({ kind: kind!.replace(/s$/, ''), namespace: lease.namespace, snapshotter, name: id });
      add(flat && kind !== 'ingests' ? heldFlat : held, name);
    }
  }
  for (let before = -1; before !== held.size + heldFlat.size;) {
    before = held.size + heldFlat.size;
    for (const thing of world.things) {
      const { namespace, snapshotter } = thing;
      const self = worldName(thing);
      const kindOn = thing.kind === 'image' ? 'content' : 'snapshot';
      const on =
        thing.on === undefined ? undefined : worldName({ kind: kindOn, namespace, snapshotter, name: thing.on });
      if (heldFlat.has(self)) add(heldFlat, on);
      for (const [key, value] of Object.entries(thing.labels)) {
        const parent = named(namespace, key, 'bref', value);
        if (parent !== undefined && held.has(parent)) held.add(self);
      }
      if (!held.has(self)) continue;
      add(held, on);
      for (const [key, value] of Object.entries(thing.labels)) add(held, named(namespace, key, 'ref', value));
      if (thing.kind !== 'content' && thing.kind !== 'image') continue;
      for (const tree of world.things) if (conditioned(thing, tree)) held.add(worldName(tree));
    }
  }
  const leases = liveLeases.map(({ namespace, id }) => worldName({ kind: 'lease', namespace, name: id }));
  return [...held.union(heldFlat).intersection(names), ...leases].toSorted();
}
