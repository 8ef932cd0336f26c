import { setImmediate } from 'node:timers/promises';
import { abortable } from '#base/locks.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { Background } from './background.ts';
import type { Content } from './content.ts';
import type { Events } from './events.ts';
import { Barrier } from './gc-barrier.ts';
import type { Collector } from './gc-collectors.ts';
import type { Explanation, Question } from './gc-explain.ts';
import type { GcFacts } from './gc-graph.ts';
import { sumUp, weigh, type Removal } from './gc-plan.ts';
import { GcSchedule, gcScheduleDefaults, type GcScheduleOptions } from './gc-schedule.ts';
import type { Garbage, GarbageGroup } from './gc-search.ts';
import { Searcher, type Search } from './gc-searcher.ts';
import { Sweep, type Swept } from './gc-sweep.ts';
import type { Snapshots } from './snapshots.ts';

export interface GarbageCollectorParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly content: Content;
  readonly snapshots: Snapshots;
  readonly schedule?: GcScheduleOptions;
  /** Up to so many rows the event loop searches by itself. */
  readonly smallLedgerRows?: number;
  readonly logger?: Logger;
}

/** What a collection removes, or would. */
export interface GarbagePlan extends Removal {
  readonly nextExpiry: Date | undefined;
}

/** The longest time `setTimeout` can wait is 24.8 days; a day is often enough. */
const LONGEST_SLEEP_MS = 24 * 60 * 60 * 1000;

/**
 * Removes what nothing holds, by containerd's rules: rows first, then the disk. The search runs beside the event loop on
 * a snapshot of the ledger; docs/walks/gc.md says why nothing is lost that a request has reached for meanwhile.
 */
export class GarbageCollector {
  readonly #parts: GarbageCollectorParts;
  readonly #logger: Logger;
  readonly #background: Background;
  readonly #searcher: Searcher;
  readonly #schedule: GcSchedule;
  readonly #collectors = new Map<string, Collector>();
  readonly #stopListening: () => void;
  #alarm: NodeJS.Timeout | undefined;
  #barrier: Barrier | undefined;
  /** Whoever waits for a collection and wants to know what it removed. */
  #tellers: ((plan: GarbagePlan) => void)[] = [];

  constructor(parts: GarbageCollectorParts) {
    this.#parts = parts;
    this.#logger = parts.logger ?? silent;
    this.#background = new Background(this.#logger);
    this.#searcher = new Searcher(parts.ledger, parts);
    this.#schedule = new GcSchedule(parts.schedule ?? gcScheduleDefaults, () => this.#collect(), this.#logger);
    this.#stopListening = parts.ledger.changes.onMutation((deleted) => {
      if (this.#barrier?.isSweeping !== true) this.#schedule.mutated(deleted);
    });
  }

  /** Lets it collect a kind of things that live in memory, too. */
  register(collector: Collector): void {
    this.#collectors.set(collector.kind, collector);
  }

  /** Something no longer holds what it held, in a way that the ledger does not show as a deletion. */
  schedule(): void {
    this.#schedule.mutated(true);
  }

  /** Collects now; resolves when everything that was garbage before this call is gone from disk. */
  async run(signal: AbortSignal): Promise<void> {
    await abortable(this.#schedule.trigger(), signal);
  }

  /** Collects now, and tells what went. */
  async runAndTell(signal: AbortSignal): Promise<GarbagePlan> {
    const told = Promise.withResolvers<GarbagePlan>();
    this.#tellers.push(told.resolve);
    await this.run(signal);
    return told.promise;
  }

  /** What a collection would remove now. */
  async plan(namespace: string, signal: AbortSignal): Promise<GarbagePlan> {
    const search = await this.#searcher.search(this.#facts());
    const all: Garbage[] = [];
    for await (const groups of search.portions()) {
      signal.throwIfAborted();
      for (const { members } of groups) all.push(...members);
    }
    const weighed = await weigh(all, this.#parts, signal);
    return { ...(await sumUp(weighed, namespace, this.#parts.ledger)), nextExpiry: dateOf(search.nextExpiry) };
  }

  /** Why a thing is kept, or that nothing keeps it; for each thing that the subject may mean. */
  async explain(question: Question): Promise<readonly Explanation[]> {
    return this.#searcher.explain(this.#facts(), question);
  }

  /**
   * Agrees with the disk after a start, before anybody may call: drops what was never confirmed with everything above
   * it, removes from disk what no row names. The first collection is a moment later.
   */
  async boot(signal: AbortSignal): Promise<void> {
    this.#parts.ledger.names.dropOrphans();
    await this.#parts.snapshots.reconcile(signal);
    await this.#parts.content.reconcile(signal);
    this.#schedule.start();
  }

  /** Resolves when there is nothing to collect, and nothing is being removed. */
  async idle(): Promise<void> {
    await this.#schedule.idle();
    await this.#background.idle();
  }

  /** Ends what removes things, here and in content and snapshots. What is left on disk is found at the next start. */
  async close(): Promise<void> {
    this.#stopListening();
    clearTimeout(this.#alarm);
    await Promise.all([
      this.#background.stop(),
      this.#schedule.stop(),
      this.#parts.content.close(),
      this.#parts.snapshots.close(),
    ]);
    await this.#searcher.close();
  }

  async #collect(): Promise<{ tookMs: number; again: boolean }> {
    const { ledger, events, content } = this.#parts;
    const tellers = this.#tellers.splice(0);
    const began = performance.now();
    // It begins before the search: what comes between the two is seen twice, never missed.
    using barrier = new Barrier(ledger, [...this.#collectors.keys()]);
    this.#barrier = barrier;
    const search = await this.#searcher.search(this.#facts());
    this.#setAlarm(search.nextExpiry);
    const sweep = new Sweep({ ledger, events, barrier, isOpen: (ingest) => content.isOpen(ingest) });
    let tookMs = 0;
    try {
      await this.#sweep(search, sweep, tellers.length > 0);
    } finally {
      tookMs = performance.now() - began;
      if (tellers.length > 0) await this.#tell(tellers, sweep.swept, search.nextExpiry);
      // Rows that are gone are gone: their bytes go even if the rest of the sweep failed.
      await this.#remove(sweep.swept);
    }
    return { tookMs, again: sweep.kept > 0 };
  }

  async #sweep(search: Search, sweep: Sweep, weighed: boolean): Promise<void> {
    const signal = this.#background.signal;
    for await (const portion of search.portions()) {
      const groups = weighed ? await this.#weighed(portion) : portion;
      for (let at = 0; at < groups.length;) {
        signal.throwIfAborted();
        at += sweep.take(groups.slice(at));
        // Whoever waits comes first.
        await setImmediate();
      }
    }
  }

  /** While their rows are still there: afterwards nobody could ask. */
  #weighed(groups: readonly GarbageGroup[]): Promise<GarbageGroup[]> {
    const signal = this.#background.signal;
    return Promise.all(
      groups.map(async ({ holders, members }) => ({ holders, members: await weigh(members, this.#parts, signal) })),
    );
  }

  /** What is known outside the ledger, at this moment. */
  #facts(): GcFacts {
    return {
      now: Date.now(),
      openIngests: [...this.#parts.content.openIngests()],
      collectibles: [...this.#collectors].flatMap(([kind, collector]) =>
        [...collector.all()].map((one) => ({ ...one, kind })),
      ),
      kinds: [...this.#collectors.keys()],
    };
  }

  async #tell(tellers: readonly ((plan: GarbagePlan) => void)[], swept: Swept, nextExpiry?: number): Promise<void> {
    const plan = { ...(await sumUp(swept.items, '', this.#parts.ledger)), nextExpiry: dateOf(nextExpiry) };
    for (const tell of tellers) tell(plan);
  }

  async #remove(swept: Swept): Promise<void> {
    const { content, snapshots } = this.#parts;
    const signal = this.#background.signal;
    if (swept.items.length === 0) return;
    // One kind that fails does not keep the others on disk.
    const results = await Promise.allSettled([
      content.discard(swept.blobs, signal),
      content.discardIngests(swept.ingests, signal),
      snapshots.discard(swept.snapshots, signal),
      this.#removeCollectibles(swept, signal),
    ]);
    const { blobs, ingests } = swept;
    const counts = { blobs: blobs.size, snapshots: swept.snapshots.length, ingests: ingests.length };
    this.#logger.log('debug', 'collected garbage', counts);
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  async #removeCollectibles({ collectibles }: Swept, signal: AbortSignal): Promise<void> {
    for (const { kind, namespace, name } of collectibles) {
      const collector = this.#collectors.get(kind);
      const now = [...(collector?.all() ?? [])].find((one) => one.namespace === namespace && one.name === name);
      // Another of the same name, or somebody uses it by now.
      if (now === undefined || now.active || this.#isLeased(now.namespace, now.lease)) continue;
      await collector?.remove(namespace, name, signal);
    }
  }

  #isLeased(namespace: string, lease: string | undefined): boolean {
    return lease !== undefined && this.#parts.ledger.leases.find(namespace, lease) !== undefined;
  }

  /** Wakes up when the next thing expires. */
  #setAlarm(at: number | undefined): void {
    clearTimeout(this.#alarm);
    if (at === undefined || this.#background.signal.aborted) return;
    this.#alarm = setTimeout(() => this.#schedule.expired(), Math.min(at - Date.now() + 1, LONGEST_SLEEP_MS));
    this.#alarm.unref();
  }
}

const dateOf = (at: number | undefined): Date | undefined => (at === undefined ? undefined : new Date(at));
