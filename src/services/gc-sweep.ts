import type { Digest } from '#core/images.ts';
import type { IngestId } from '#core/content.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { SnapshotRow } from '#metadata/tables/snapshots.ts';
import type { Barrier } from './gc-barrier.ts';
import type { Events } from './events.ts';
import { splitKey } from './gc-rules.ts';
import type { Garbage, GarbageGroup } from './gc-search.ts';

/** Longest time that one transaction of a sweep may hold up requests, and the most groups it takes. */
const SLICE_MS = 2;

/** Rows that went, with what their removal from disk needs. */
export interface Swept {
  readonly items: Garbage[];
  readonly snapshots: SnapshotRow[];
  readonly blobs: Set<Digest>;
  readonly ingests: IngestId[];
  /** Of pluggable collectors, whose rows are in memory. */
  readonly collectibles: { kind: string; namespace: string; name: string }[];
}

export interface SweepParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly barrier: Barrier;
  readonly isOpen: (ingest: IngestId) => boolean;
}

/**
 * Forgets garbage group by group, holders first, and leaves what the barrier has, with all that hangs on it. Several
 * short transactions: between any two of them requests may come, and find each thing with all that it holds.
 */
export class Sweep {
  readonly swept: Swept = { items: [], snapshots: [], blobs: new Set(), ingests: [], collectibles: [] };
  readonly #parts: SweepParts;
  readonly #ledger: Ledger;
  /** Groups that stay, by their place. */
  readonly #kept = new Set<number>();
  #place = 0;

  constructor(parts: SweepParts) {
    this.#parts = parts;
    this.#ledger = parts.ledger;
  }

  /** How many groups came to life since they were found. They may be garbage again by now. */
  get kept(): number {
    return this.#kept.size;
  }

  /** Forgets as many of the next groups as one slice of time allows, and says how many those were. */
  take(groups: readonly GarbageGroup[]): number {
    const began = performance.now();
    let taken = 0;
    // What a transaction that fails has forgotten is not forgotten.
    const gone: (() => void)[] = [];
    this.#parts.barrier.sweeping(() =>
      this.#ledger.transaction(() => {
        for (const group of groups) {
          this.#one(group, this.#place + taken, gone);
          taken += 1;
          if (performance.now() - began >= SLICE_MS) break;
        }
      }),
    );
    this.#place += taken;
    for (const note of gone) note();
    return taken;
  }

  #one({ holders, members }: GarbageGroup, place: number, gone: (() => void)[]): void {
    const alive =
      holders.some((holder) => this.#kept.has(holder)) ||
      members.some((member) => this.#parts.barrier.touches(member) || this.#isWritten(member));
    if (alive) this.#kept.add(place);
    else for (const member of members) this.#forget(member, gone);
  }

  #isWritten({ key, id }: Garbage): boolean {
    return key.startsWith('ingest\0') && this.#parts.isOpen(id as IngestId);
  }

  #forget(garbage: Garbage, gone: (() => void)[]): void {
    const { swept } = this;
    const [kind, namespace, name] = splitKey(garbage.key);
    const note = (is: boolean, more?: () => void): void => {
      if (!is) return;
      gone.push(() => {
        swept.items.push(garbage);
        more?.();
      });
    };
    switch (kind) {
      case 'content':
        return note(this.#ledger.blobs.delete(namespace, name), () => swept.blobs.add(name));
      case 'image':
        if (!this.#ledger.images.delete(namespace, name)) return;
        this.#publish(namespace, '/images/delete', 'ImageDelete', { name });
        return note(true);
      case 'lease':
        return note(this.#ledger.leases.delete(namespace, name));
      case 'ingest': {
        const id = garbage.id as IngestId;
        return note(this.#ledger.ingests.delete(id), () => swept.ingests.push(id));
      }
      case 'snapshot': {
        const row = this.#ledger.snapshots.byId(garbage.id ?? '');
        if (row === undefined || !this.#ledger.snapshots.delete(row.id)) return;
        const { key, snapshotter } = row;
        this.#publish(row.namespace, '/snapshot/remove', 'SnapshotRemove', { key, snapshotter });
        return note(true, () => swept.snapshots.push(row));
      }
      default:
        return note(true, () => swept.collectibles.push({ kind, namespace, name }));
    }
  }

  #publish(namespace: string, topic: string, type: string, fields: Readonly<Record<string, string>>): void {
    this.#parts.events.publish(namespace, topic, { kind: 'plain', type, fields });
  }
}
