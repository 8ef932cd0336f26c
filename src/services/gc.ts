import { abortable } from '#base/locks.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { Background } from './background.ts';
import type { Content } from './content.ts';
import type { Events } from './events.ts';
import { findGarbage, type Garbage } from './gc-graph.ts';
import type { Snapshots } from './snapshots.ts';

export interface GarbageCollectorParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly content: Content;
  readonly snapshots: Snapshots;
  readonly logger?: Logger;
}

/** Looking for garbage stops the event loop; it may take one part in fifty of the time, as with containerd. */
const REST_FACTOR = 50;
/** The longest time `setTimeout` can wait is 24.8 days; a day is often enough. */
const LONGEST_SLEEP_MS = 24 * 60 * 60 * 1000;

/**
 * Removes what nothing holds: rows first, in one transaction with the search, then the disk. What is in flight is
 * never garbage: leases hold it, a row is unconfirmed, or an upload is open.
 */
export class GarbageCollector {
  readonly #parts: GarbageCollectorParts;
  readonly #logger: Logger;
  readonly #background: Background;
  #scheduled: NodeJS.Timeout | undefined;
  #alarm: NodeJS.Timeout | undefined;
  #notBefore = 0;
  /** The disk's part of collections that have not ended yet. */
  readonly #removals = new Set<Promise<void>>();

  constructor(parts: GarbageCollectorParts) {
    this.#parts = parts;
    this.#logger = parts.logger ?? silent;
    this.#background = new Background(this.#logger);
  }

  /** Collects soon, in the background. Many calls make one collection. */
  schedule(): void {
    if (this.#scheduled !== undefined || this.#background.signal.aborted) return;
    const rest = Math.max(0, this.#notBefore - performance.now());
    this.#scheduled = setTimeout(() => {
      this.#scheduled = undefined;
      this.#background.start('collecting garbage', () => this.#collect());
    }, rest);
    this.#scheduled.unref();
  }

  /** Collects now; resolves when everything that was garbage before this call is gone from disk. */
  async run(signal: AbortSignal): Promise<void> {
    this.#background.start('collecting garbage', () => this.#collect());
    // Also what others found before us and are still removing.
    await abortable(Promise.all(this.#removals), signal);
  }

  /**
   * Agrees with the disk after a start, before anybody may call: drops what was never confirmed with everything above
   * it, removes from disk what no row names, and collects.
   */
  async boot(signal: AbortSignal): Promise<void> {
    this.#parts.ledger.names.dropOrphans();
    await this.#parts.snapshots.reconcile(signal);
    await this.#parts.content.reconcile(signal);
    await this.run(signal);
  }

  /** Resolves when nothing is scheduled, and nothing is being removed. */
  async idle(): Promise<void> {
    if (this.#scheduled !== undefined) {
      clearTimeout(this.#scheduled);
      this.#scheduled = undefined;
      this.#background.start('collecting garbage', () => this.#collect());
    }
    await this.#background.idle();
  }

  /** Ends what removes things, here and in content and snapshots. What is left on disk is found at the next start. */
  async close(): Promise<void> {
    clearTimeout(this.#scheduled);
    clearTimeout(this.#alarm);
    await Promise.all([this.#background.stop(), this.#parts.content.close(), this.#parts.snapshots.close()]);
  }

  async #collect(): Promise<void> {
    const began = performance.now();
    const garbage = this.#sweep();
    const took = performance.now() - began;
    this.#notBefore = performance.now() + took * REST_FACTOR;
    this.#setAlarm(garbage.nextExpiry);
    const removal = this.#remove(garbage).finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
    await removal;
  }

  /** Finds garbage and forgets it, in one step that no request can come between. */
  #sweep(): Garbage {
    const { ledger, content } = this.#parts;
    return ledger.transaction(() => {
      const garbage = findGarbage(ledger, new Date(), (ingest) => content.isOpen(ingest.id));
      for (const { namespace, digest } of garbage.blobs) ledger.blobs.delete(namespace, digest);
      for (const { id } of garbage.snapshots) ledger.snapshots.delete(id);
      for (const { namespace, name } of garbage.images) ledger.images.delete(namespace, name);
      for (const { namespace, id } of garbage.leases) ledger.leases.delete(namespace, id);
      for (const { id } of garbage.ingests) ledger.ingests.delete(id);
      return garbage;
    });
  }

  async #remove(garbage: Garbage): Promise<void> {
    const { content, snapshots, events } = this.#parts;
    const signal = this.#background.signal;
    for (const { namespace, name } of garbage.images) {
      events.publish(namespace, '/images/delete', { kind: 'plain', type: 'ImageDelete', fields: { name } });
    }
    for (const { namespace, key, snapshotter } of garbage.snapshots) {
      const fields = { key, snapshotter };
      events.publish(namespace, '/snapshot/remove', { kind: 'plain', type: 'SnapshotRemove', fields });
    }
    if (garbage.blobs.length + garbage.snapshots.length + garbage.ingests.length === 0) return;
    // One kind that fails does not keep the others on disk.
    const results = await Promise.allSettled([
      content.discard(new Set(garbage.blobs.map(({ digest }) => digest)), signal),
      content.discardIngests(
        garbage.ingests.map(({ id }) => id),
        signal,
      ),
      snapshots.discard(garbage.snapshots, signal),
    ]);
    this.#logger.log('debug', 'collected garbage', {
      blobs: garbage.blobs.length,
      snapshots: garbage.snapshots.length,
      ingests: garbage.ingests.length,
    });
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  /** Wakes up when the next thing expires. */
  #setAlarm(at: Date | undefined): void {
    clearTimeout(this.#alarm);
    if (at === undefined || this.#background.signal.aborted) return;
    this.#alarm = setTimeout(() => this.schedule(), Math.min(at.getTime() - Date.now() + 1, LONGEST_SLEEP_MS));
    this.#alarm.unref();
  }
}
