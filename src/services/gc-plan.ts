import { setImmediate } from 'node:timers/promises';
import type { Ledger } from '#metadata/ledger.ts';
import type { Content } from './content.ts';
import { splitKey, type NodeKey } from './gc-rules.ts';
import type { Garbage } from './gc-search.ts';
import type { Snapshots } from './snapshots.ts';

export interface RemovalItem {
  readonly key: NodeKey;
  /** Bytes on disk that go with it. */
  readonly bytes: number;
}

export interface Removal {
  readonly items: readonly RemovalItem[];
  readonly bytes: number;
}

export interface WeighParts {
  readonly ledger: Ledger;
  readonly content: Content;
  readonly snapshots: Snapshots;
}

/** Asks the disk for the weight of what the ledger knows none of: trees that may still change, and uploads. */
export async function weigh(all: readonly Garbage[], parts: WeighParts, signal: AbortSignal): Promise<Garbage[]> {
  const weighed: Garbage[] = [];
  for (const garbage of all) {
    weighed.push(garbage.bytes === undefined ? { ...garbage, bytes: await onDisk(garbage, parts, signal) } : garbage);
  }
  return weighed;
}

async function onDisk({ key }: Garbage, { content, snapshots }: WeighParts, signal: AbortSignal): Promise<number> {
  const [kind, namespace, name] = splitKey(key);
  const call = { namespace, signal };
  const slash = name.indexOf('/');
  try {
    if (kind === 'ingest') return (await content.status(call, name)).offset;
    if (kind === 'snapshot') return (await snapshots.usage(call, name.slice(0, slash), name.slice(slash + 1))).bytes;
  } catch {
    // It went by itself meanwhile, or its snapshotter cannot be asked: then nobody knows.
    signal.throwIfAborted();
  }
  return 0;
}

/** Adds up what goes from disk. A blob that several namespaces have goes with the last of them, and counts once. */
export async function sumUp(all: readonly Garbage[], namespace: string, ledger: Ledger): Promise<Removal> {
  const keys = new Set(all.map(({ key }) => key));
  const counted = new Set<string>();
  const items: RemovalItem[] = [];
  for (const [index, { key, bytes = 0 }] of all.entries()) {
    // Thousands of them would stop everyone else.
    if (index % 200 === 199) await setImmediate();
    const [kind, space, name] = splitKey(key);
    if (namespace !== '' && space !== namespace) continue;
    const stays =
      kind === 'content' &&
      (counted.has(name) || ledger.blobs.namespacesOf(name).some((other) => !keys.has(`content\0${other}\0${name}`)));
    if (kind === 'content') counted.add(name);
    items.push({ key, bytes: stays ? 0 : bytes });
  }
  return { items, bytes: items.reduce((sum, item) => sum + item.bytes, 0) };
}
