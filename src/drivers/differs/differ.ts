import { mkdir, mkdtemp, open, readdir, rm, rmdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseDigest } from '#base/digest.ts';
import { codeOf, HakoError, invalid, messageOf } from '#base/errors.ts';
import { abortable } from '#base/locks.ts';
import { errnoOf, ThreadPool } from '#base/threads.ts';
import type { Blob } from '#core/content.ts';
import type { ApplyOptions, Differ, DiffOptions, LayerSink, MadeLayer } from '#core/differs.ts';
import type { Descriptor } from '#core/images.ts';
import type { Mount } from '#core/mounts.ts';
import { bytesOf, textOf } from '#sys/at.ts';
import { mountAll, unmountAll } from '#sys/mount.ts';
import { explainSpace } from '#sys/space.ts';
import { trees } from '#sys/trees.ts';
import { directTarget } from './direct.ts';
import type { Inflated, InflateRequest } from './inflate-worker.ts';
import { LayerMaker } from './layer-maker.ts';
import { tarMediaType } from './media-types.ts';
import { RingCaller, SpareRings } from './ring.ts';
import { chainFor, ProcessorChain, type StreamProcessor } from './stream-processors.ts';
import type { Target } from './directories.ts';
import type { UntarRequest } from './untar-worker.ts';

const progressEvery = 100;

/**
 * Unpacks layers in pairs of threads: one reads, hashes and inflates, the other writes files. Overlay and bind mounts are
 * unpacked without mounting them.
 */
export class TarDiffer implements Differ, Disposable {
  readonly #state: string;
  readonly #processors: readonly StreamProcessor[];
  readonly #inflaters: ThreadPool;
  readonly #untarrers: ThreadPool;
  readonly #rings = new SpareRings();
  readonly #maker: LayerMaker;

  private constructor(state: string, processors: readonly StreamProcessor[]) {
    const pairs = Math.max(2, Math.min(4, os.availableParallelism()));
    this.#state = state;
    this.#processors = processors;
    this.#inflaters = new ThreadPool(new URL('inflate-worker.ts', import.meta.url), pairs);
    this.#untarrers = new ThreadPool(new URL('untar-worker.ts', import.meta.url), pairs, { heap: 1024 });
    this.#maker = new LayerMaker(this.#rings, (mounts, undo) => this.#mount(mounts, undo));
  }

  /** `state` holds mount points and spooled layers while they are unpacked; what a killed daemon left there goes. */
  static async start(state: string, processors: readonly StreamProcessor[] = []): Promise<TarDiffer> {
    await mkdir(state, { recursive: true, mode: 0o700 });
    for (const name of await readdir(state)) {
      if (!/^(?:mount|spool)-/.test(name)) continue;
      const left = path.join(state, name);
      unmountAll(left);
      // Only ever empty: a mount that could not be undone must not be emptied through it.
      if (name.startsWith('mount-')) await rmdir(left);
      else await rm(left, { recursive: true, force: true });
    }
    return new TarDiffer(state, processors);
  }

  async apply(
    layer: Descriptor,
    blob: Blob,
    mounts: readonly Mount[],
    signal: AbortSignal,
    { progress, payloads = {}, syncFs = false }: ApplyOptions = {},
  ): Promise<Descriptor> {
    signal.throwIfAborted();
    parseDigest(layer.digest);
    const chain = chainFor(layer.mediaType, this.#processors);
    await using undo = new AsyncDisposableStack();
    const target = directTarget(mounts) ?? { kind: 'plain', root: bytesOf(await this.#mount(mounts, undo)) };
    const file = blob.path ?? (await this.#spooled(blob, undo, signal));
    const inflated =
      chain.length === 0
        ? await this.#unpack(layer, file, target, signal, progress)
        : await this.#process(layer, new ProcessorChain(file, chain, payloads), target, signal);
    if (syncFs) await trees.sync(textOf(target.kind === 'overlay' ? target.upper : target.root), signal);
    progress?.(blob.size);
    return { mediaType: tarMediaType, ...inflated.tar };
  }

  /** Unpacks what stream processors make of a layer. What they say went wrong is the cause of what we find. */
  async #process(layer: Descriptor, chain: ProcessorChain, target: Target, signal: AbortSignal): Promise<Inflated> {
    await using running = chain;
    const kill = (): void => running.kill();
    signal.addEventListener('abort', kill, { once: true });
    try {
      const [unpacked] = await Promise.allSettled([
        this.#unpack(layer, running.output, target, signal, undefined, false),
      ]);
      signal.throwIfAborted();
      // After an error of ours they may wait for somebody who reads.
      if (unpacked.status === 'rejected' && codeOf(unpacked.reason) !== 'invalid-argument') throw unpacked.reason;
      await abortable(running.finish(), signal);
      if (unpacked.status === 'rejected') throw unpacked.reason;
      return unpacked.value;
    } finally {
      signal.removeEventListener('abort', kill);
    }
  }

  diff(
    left: readonly Mount[],
    right: readonly Mount[],
    sink: LayerSink,
    signal: AbortSignal,
    options: DiffOptions,
  ): Promise<MadeLayer> {
    return this.#maker.make(left, right, sink, signal, options);
  }

  async #mount(mounts: readonly Mount[], undo: AsyncDisposableStack): Promise<string> {
    const root = await mkdtemp(path.join(this.#state, 'mount-'));
    undo.defer(() => rmdir(root));
    undo.defer(() => unmountAll(root));
    mountAll(mounts, root);
    return root;
  }

  /** Brings a blob that is no local file onto the disk, where a thread can read it. */
  async #spooled(blob: Blob, undo: AsyncDisposableStack, signal: AbortSignal): Promise<string> {
    const directory = await mkdtemp(path.join(this.#state, 'spool-'));
    undo.defer(() => rm(directory, { recursive: true, force: true }));
    const file = path.join(directory, 'layer');
    await using handle = await open(file, 'wx', 0o600);
    try {
      for (let at = 0; at < blob.size;) {
        const piece = await blob.read(at, 1024 * 1024, signal);
        if (piece.length === 0)
          throw new HakoError('data-loss', `content "${blob.digest}" ended at ${at} bytes of ${blob.size}`);
        await handle.writeFile(piece);
        at += piece.length;
      }
    } catch (error) {
      throw explainSpace(error, this.#state, `spooling layer "${blob.digest}"`);
    }
    return file;
  }

  async #unpack(
    layer: Descriptor,
    file: string,
    target: Target,
    signal: AbortSignal,
    progress?: (bytes: number) => void,
    verify = true,
  ): Promise<Inflated> {
    const memory = this.#rings.take();
    const ring = new RingCaller(memory);
    const halt = (): void => ring.halt();
    const haltAndThrow = (error: unknown): never => {
      ring.halt();
      throw error;
    };
    signal.addEventListener('abort', halt, { once: true });
    const timer = progress === undefined ? undefined : setInterval(() => progress(ring.position), progressEvery);
    try {
      const inflate: InflateRequest = { path: file, digest: layer.digest, ring: memory };
      const untar: UntarRequest = { ring: memory, target };
      const [inflated, untarred] = await Promise.allSettled([
        this.#inflaters.run(inflate, signal).catch(haltAndThrow) as Promise<Inflated>,
        // A bad archive does not halt the other side, which reads on for the digest to tell why it is bad.
        this.#untarrers
          .run(untar, signal)
          .catch((error: unknown) =>
            ['invalid-argument', 'aborted'].includes(codeOf(error))
              ? Promise.reject(error as Error)
              : haltAndThrow(error),
          ),
      ]);
      signal.throwIfAborted();
      return judge(layer, target, inflated, untarred, verify);
    } finally {
      clearInterval(timer);
      signal.removeEventListener('abort', halt);
      // Both sides have answered, or are dead.
      this.#rings.give(memory);
    }
  }

  /** Ends the threads that rest. */
  [Symbol.dispose](): void {
    this.#rings.clear();
    this.#maker.end();
    this.#inflaters.end();
    this.#untarrers.end();
  }
}

/** What to tell of two threads that each have their own view: the cause, and not what followed from it. */
function judge(
  layer: Descriptor,
  target: Target,
  inflated: PromiseSettledResult<Inflated>,
  untarred: PromiseSettledResult<unknown>,
  verify: boolean,
): Inflated {
  const doing = `unpacking layer "${layer.digest}"`;
  const place = target.kind === 'overlay' ? target.upper : target.root;
  const explain = (error: unknown): unknown => {
    const explained = explainSpace(error, Buffer.from(place, 'latin1').toString(), doing);
    if (explained !== error) return explained;
    const code = errnoOf(error) === 'ENAMETOOLONG' ? 'invalid-argument' : codeOf(error);
    return new HakoError(code, `${doing}: ${messageOf(error)}`, error);
  };
  const followed = (error: unknown): boolean => codeOf(error) === 'cancelled' || codeOf(error) === 'aborted';
  if (inflated.status === 'rejected') {
    const other = untarred.status === 'rejected' && followed(inflated.reason) ? untarred.reason : inflated.reason;
    throw explain(other);
  }
  const { compressed, problem } = inflated.value;
  const bad =
    problem !== undefined || (untarred.status === 'rejected' && codeOf(untarred.reason) === 'invalid-argument');
  if (verify && (bad || untarred.status === 'fulfilled')) {
    if (compressed.size !== layer.size || compressed.digest !== layer.digest) {
      throw new HakoError(
        'data-loss',
        `${doing}: what is stored has digest "${compressed.digest}" and ${compressed.size} bytes instead of ${layer.size}: the blob is damaged, remove it and pull again`,
      );
    }
  }
  if (problem !== undefined) throw invalid(`${doing}: the compressed data is malformed: ${problem}`);
  if (untarred.status === 'rejected') throw explain(untarred.reason);
  return inflated.value;
}
