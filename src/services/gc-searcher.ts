import { Worker } from 'node:worker_threads';
import { HakoError, type ErrorCode } from '#base/errors.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { explain, type Explanation, type Question } from './gc-explain.ts';
import type { GcFacts } from './gc-graph.ts';
import { findGarbage, type GarbageGroup } from './gc-search.ts';

export type SearchRequest = { readonly id: number } & (
  | { readonly kind: 'search'; readonly facts: GcFacts }
  | { readonly kind: 'fetch'; readonly from: number; readonly to: number }
  | { readonly kind: 'explain'; readonly facts: GcFacts; readonly question: Question }
);
export type SearchResult =
  | { readonly kind: 'found'; readonly count: number; readonly nextExpiry: number | undefined }
  | { readonly kind: 'groups'; readonly groups: readonly GarbageGroup[] }
  | { readonly kind: 'explanations'; readonly explanations: readonly Explanation[] };
export type SearchAnswer = { readonly id: number } & (
  | { readonly result: SearchResult; readonly error?: never }
  | { readonly error: { readonly message: string; readonly code: string }; readonly result?: never }
);

/** What a search found. Groups come in portions: to receive all at once would stop the event loop. */
export interface Search {
  readonly nextExpiry: number | undefined;
  portions(): AsyncGenerator<readonly GarbageGroup[]>;
}

/** Up to so many rows the search takes a few milliseconds: less than handing it over costs. */
const SMALL_LEDGER_ROWS = 300;
const PORTION = 200;
/** A worker that nobody has asked for so long gives its memory back. */
const IDLE_MS = 2000;

/** Searches the ledger beside the event loop: in a worker, which reads through a connection of its own. */
export class Searcher {
  readonly #ledger: Ledger;
  readonly #small: number;
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, PromiseWithResolvers<SearchResult>>();
  #lastId = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(ledger: Ledger, options: { readonly smallLedgerRows?: number } = {}) {
    this.#ledger = ledger;
    this.#small = options.smallLedgerRows ?? SMALL_LEDGER_ROWS;
  }

  async search(facts: GcFacts): Promise<Search> {
    if (this.#isSmall()) {
      const { groups, nextExpiry } = this.#ledger.transaction(() => findGarbage(this.#ledger, facts));
      return { nextExpiry, portions: () => portionsOf(groups.length, async (from, to) => groups.slice(from, to)) };
    }
    const found = await this.#ask({ kind: 'search', facts });
    if (found.kind !== 'found') throw new Error(`the search for garbage answered ${found.kind}`);
    const fetch = async (from: number, to: number): Promise<readonly GarbageGroup[]> => {
      const fetched = await this.#ask({ kind: 'fetch', from, to });
      if (fetched.kind !== 'groups') throw new Error(`the search for garbage answered ${fetched.kind}`);
      return fetched.groups;
    };
    return { nextExpiry: found.nextExpiry, portions: () => portionsOf(found.count, fetch) };
  }

  async explain(facts: GcFacts, question: Question): Promise<readonly Explanation[]> {
    if (this.#isSmall()) return this.#ledger.transaction(() => explain(this.#ledger, facts, question));
    const answer = await this.#ask({ kind: 'explain', facts, question });
    if (answer.kind !== 'explanations') throw new Error(`the search for garbage answered ${answer.kind}`);
    return answer.explanations;
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  #isSmall(): boolean {
    return this.#ledger.path === ':memory:' || this.#ledger.countRows(this.#small + 1) <= this.#small;
  }

  #ask(
    request: SearchRequest extends infer R ? (R extends SearchRequest ? Omit<R, 'id'> : never) : never,
  ): Promise<SearchResult> {
    clearTimeout(this.#idle);
    const worker = (this.#worker ??= this.#start());
    const id = (this.#lastId += 1);
    const waiting = Promise.withResolvers<SearchResult>();
    this.#waiting.set(id, waiting);
    worker.ref();
    worker.postMessage({ ...request, id });
    return waiting.promise;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./gc-worker.ts', import.meta.url), {
      workerData: this.#ledger.path,
      name: 'garbage-search',
      // The daemon's own flags (test runner, inspector) are not the worker's.
      execArgv: [],
      // Its short-lived rows need not be many before they are swept; what it has found may be all there is.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    worker.on('message', (answer: SearchAnswer) => this.#answered(answer));
    worker.on('error', (error) => this.#ended(worker, error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', () => this.#ended(worker, new Error('the search for garbage has ended')));
    worker.unref();
    return worker;
  }

  #answered({ id, result, error }: SearchAnswer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (result !== undefined) waiting?.resolve(result);
    else waiting?.reject(new HakoError(error.code as ErrorCode, error.message));
    if (this.#waiting.size > 0) return;
    this.#worker?.unref();
    this.#idle = setTimeout(() => void this.#worker?.terminate(), IDLE_MS);
    this.#idle.unref();
  }

  /** The next question starts another. */
  #ended(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const waiting of this.#waiting.values()) waiting.reject(new HakoError('unavailable', error.message, error));
    this.#waiting.clear();
  }
}

async function* portionsOf(
  count: number,
  fetch: (from: number, to: number) => Promise<readonly GarbageGroup[]>,
): AsyncGenerator<readonly GarbageGroup[]> {
  for (let from = 0; from < count; from += PORTION) yield await fetch(from, from + PORTION);
}
