import os from 'node:os';
import { HakoError, messageOf, codeOf } from '#base/errors.ts';
import { ThreadPool } from '#base/threads.ts';
import type { DiffOptions, LayerSink, MadeLayer } from '#core/differs.ts';
import type { Mount } from '#core/mounts.ts';
import { bytesOf } from '#sys/at.ts';
import type { Trees } from './compare.ts';
import type { DiffWorkRequest, DiffWorkResult } from './diff-worker.ts';
import { packingOf } from './media-types.ts';
import { RingCaller, RingEmptier, type SpareRings } from './ring.ts';
import { directTrees, readonlyMounts, sideOf, type Side } from './sides.ts';

/** Mounts for as long as the stack lives, and gives where. */
export type MountFor = (mounts: readonly Mount[], undo: AsyncDisposableStack) => Promise<string>;

/**
 * Makes layers in a thread that compares, packs and hashes; this side only hands on what comes. The upper directory of
 * an overlay is read where it lies, and so are bind mounts; the rest is mounted, for reading only.
 */
export class LayerMaker {
  readonly #threads: ThreadPool;
  readonly #rings: SpareRings;
  readonly #mount: MountFor;

  constructor(rings: SpareRings, mount: MountFor) {
    this.#rings = rings;
    this.#mount = mount;
    this.#threads = new ThreadPool(
      new URL('diff-worker.ts', import.meta.url),
      Math.max(2, Math.min(4, os.availableParallelism())),
      { heap: 1024 },
    );
  }

  async make(
    left: readonly Mount[],
    right: readonly Mount[],
    sink: LayerSink,
    signal: AbortSignal,
    options: DiffOptions,
  ): Promise<MadeLayer> {
    signal.throwIfAborted();
    const work = { compression: packingOf(options.mediaType), latest: options.sourceDateEpoch };
    const sides = [sideOf(left), sideOf(right)] as const;
    const direct = directTrees(...sides);
    if (direct !== undefined) {
      const result = await this.#work({ ...work, trees: direct }, sink, signal);
      if (result.kind === 'made') return { kind: 'written', uncompressed: result.uncompressed };
      await sink.restart();
    }
    await using undo = new AsyncDisposableStack();
    const trees: Trees = {
      kind: 'whole',
      left: await this.#place(sides[0], left, undo),
      right: (await this.#place(sides[1], right, undo)) ?? bytesOf(await this.#mount([], undo)),
    };
    const result = await this.#work({ ...work, trees }, sink, signal);
    if (result.kind === 'mount') throw new HakoError('internal', result.why);
    return { kind: 'written', uncompressed: result.uncompressed };
  }

  /** Ends the threads that rest. */
  end(): void {
    this.#threads.end();
  }

  async #place(side: Side, mounts: readonly Mount[], undo: AsyncDisposableStack): Promise<string | undefined> {
    if (side.kind === 'empty') return undefined;
    if (side.kind === 'directory') return side.path;
    return bytesOf(await this.#mount(readonlyMounts(mounts), undo));
  }

  async #work(request: Omit<DiffWorkRequest, 'ring'>, sink: LayerSink, signal: AbortSignal): Promise<DiffWorkResult> {
    const memory = this.#rings.take();
    const caller = new RingCaller(memory);
    const work = this.#threads.run(
      { ...request, ring: memory } satisfies DiffWorkRequest,
      signal,
    ) as Promise<DiffWorkResult>;
    // A thread that died does not end its ring.
    work.catch(() => caller.halt());
    const [moved, made] = await Promise.allSettled([
      drain(new RingEmptier(memory), sink).catch((error: unknown) => {
        caller.halt();
        throw error;
      }),
      work,
    ]);
    this.#rings.give(memory);
    signal.throwIfAborted();
    const refused = made.status === 'rejected' ? made.reason : undefined;
    // One side stops when the other does: what it says then is not the cause.
    const followed = codeOf(refused) === 'cancelled' || made.status === 'fulfilled';
    if (moved.status === 'rejected' && followed && !(made.status === 'fulfilled' && made.value.kind === 'mount'))
      throw moved.reason;
    if (made.status === 'rejected')
      throw new HakoError(codeOf(refused), `making a layer: ${messageOf(refused)}`, refused);
    return made.value;
  }
}

async function drain(ring: RingEmptier, sink: LayerSink): Promise<void> {
  // A copy: the slot is filled again while the sink may still hold on to what it got.
  for (let piece = await ring.take(); piece !== undefined; piece = await ring.take())
    await sink.write(Buffer.from(piece));
}
