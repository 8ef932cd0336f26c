import { setTimeout as sleep } from 'node:timers/promises';
import { cleanupSignal, type Call } from '#base/call.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { Locks } from '#base/locks.ts';
import type { Labels } from '#core/any.ts';
import type { Descriptor } from '#core/images.ts';
import type { Registry, RegistryOptions } from '#core/registry.ts';
import type { Content, ContentWriter } from './content.ts';
import { mayMend } from './pull-lease.ts';
import { sourceLabel, uploadRef } from './pull-manifest.ts';

export interface FetchParts {
  readonly registry: Registry;
  readonly content: Content;
}

/** Where a blob comes from, and who wants to know how far it is. */
export interface FetchSource {
  readonly reference: string;
  readonly domain: string;
  readonly path: string;
  readonly options: RegistryOptions;
}

/** Waiting for another client's upload of the same blob: milliseconds between looks. */
const firstLook = 50;
const lastLook = 1000;

/** Brings blobs from a registry into the content store. One instance for all pulls: equal blobs are fetched once. */
export class Fetcher {
  readonly #parts: FetchParts;
  readonly #locks = new Locks();
  /** Who else wants to hear of a blob that is on its way. */
  readonly #listeners = new Map<string, Set<(bytes: number) => void>>();

  constructor(parts: FetchParts) {
    this.#parts = parts;
  }

  /**
   * Makes sure that `target` is in the store, seen from the call's namespace and held by its lease. `slot` waits for its
   * turn to use the network; `progress` counts bytes, whoever fetches them.
   */
  async fetch(
    call: Call,
    source: FetchSource,
    target: Descriptor,
    slot: () => Promise<Disposable>,
    progress: (bytes: number) => void,
  ): Promise<'exists' | 'fetched'> {
    if (target.size === 0) {
      const what = `unable to fetch descriptor (${target.digest}) which reports content size of zero`;
      throw new HakoError('invalid-argument', `${what}: invalid argument`);
    }
    const listeners = this.#listeners.get(target.digest) ?? new Set();
    this.#listeners.set(target.digest, listeners);
    listeners.add(progress);
    try {
      // Whoever comes second waits here and finds the blob there. Where the first one fails, it tries by itself.
      using _lock = await this.#locks.hold(target.digest, call.signal);
      const how = await this.#bring(call, source, target, slot);
      if (how !== 'fetched') await this.#label(call, source, target);
      // To the namespace a blob that it shares from now on is new.
      return how === 'shared' ? 'fetched' : how;
    } finally {
      listeners.delete(progress);
      if (listeners.size === 0 && this.#listeners.get(target.digest) === listeners)
        this.#listeners.delete(target.digest);
    }
  }

  /** Waits, too, while a client writes the blob through the content API. */
  async #bring(
    call: Call,
    source: FetchSource,
    target: Descriptor,
    slot: () => Promise<Disposable>,
  ): Promise<'exists' | 'shared' | 'fetched'> {
    for (let wait = firstLook; ; wait = Math.min(wait * 2, lastLook)) {
      // What is here needs no turn.
      const known = this.#parts.content.find(call, target.digest) !== undefined;
      using _slot = known ? undefined : await slot();
      const writer = await this.#open(call, target);
      if (writer === 'exists') return known ? 'exists' : 'shared';
      if (writer !== 'taken') return await this.#fill(call, source, target, writer);
      _slot?.[Symbol.dispose]();
      await sleep(wait, undefined, { signal: call.signal }).catch(() => call.signal.throwIfAborted());
    }
  }

  async #open(call: Call, target: Descriptor): Promise<ContentWriter | 'exists' | 'taken'> {
    const { digest: expected, size: total } = target;
    try {
      return await this.#parts.content.writer(call, { ref: uploadRef(target), total, expected });
    } catch (error) {
      if (codeOf(error) === 'already-exists') return 'exists';
      if (codeOf(error) === 'unavailable') return 'taken';
      throw error;
    }
  }

  async #fill(
    call: Call,
    source: FetchSource,
    target: Descriptor,
    writer: ContentWriter,
  ): Promise<'exists' | 'fetched'> {
    try {
      if (writer.status().offset > target.size) await writer.truncate(0);
      const resumed = writer.status().offset > 0;
      if (!(await this.#copy(call, source, target, writer))) {
        if (!resumed) throw spoiled(source, target);
        // What an earlier try has left may be at fault: once more, from the start.
        await writer.truncate(0);
        if (!(await this.#copy(call, source, target, writer))) throw spoiled(source, target);
      }
      const labels = sourceLabel(source.domain, source.path, {});
      await writer.commit({ size: target.size, digest: target.digest, labels });
      return 'fetched';
    } catch (error) {
      if (codeOf(error) === 'already-exists') return 'exists';
      if (!mayMend(error)) await this.#drop(call, uploadRef(target), writer);
      throw error;
    } finally {
      // The bytes so far stay: our lease holds them for the next try.
      await writer.close();
    }
  }

  /** Writes what is missing. False when the bytes are all there and are not those that the digest names. */
  async #copy(call: Call, source: FetchSource, target: Descriptor, writer: ContentWriter): Promise<boolean> {
    const start = writer.status().offset;
    let count = start;
    for await (const chunk of await this.#parts.registry.fetch(
      source.reference,
      target,
      start,
      source.options,
      call.signal,
    )) {
      await writer.write(chunk);
      count += chunk.length;
      for (const listener of this.#listeners.get(target.digest) ?? []) listener(count);
    }
    // The store counts sha256 as it writes; another algorithm is counted when it commits.
    return !target.digest.startsWith('sha256:') || (await writer.digest()) === target.digest;
  }

  /** Leaves no half of a blob behind. */
  async #drop(call: Call, ref: string, writer: ContentWriter): Promise<void> {
    await writer.close().catch(() => {});
    // It may be gone with a lease that somebody deleted; anything else the collector takes with our lease.
    await this.#parts.content.abort({ ...call, signal: cleanupSignal() }, ref).catch(() => {});
  }

  async #label(call: Call, { domain, path }: FetchSource, target: Descriptor): Promise<void> {
    const { labels: before } = this.#parts.content.info(call, target.digest);
    await setLabels(this.#parts.content, call, target.digest, before, sourceLabel(domain, path, before));
  }
}

/** Adds `labels` to a blob's, if they are not there yet. */
export async function setLabels(
  content: Content,
  call: Call,
  digest: string,
  before: Labels,
  labels: Labels,
): Promise<void> {
  const missing = Object.entries(labels).filter(([key, value]) => before[key] !== value);
  if (missing.length === 0) return;
  await content.update(
    call,
    { digest, labels: Object.fromEntries(missing) },
    missing.map(([key]) => `labels.${key}`),
  );
}

const spoiled = ({ domain }: FetchSource, target: Descriptor): HakoError =>
  new HakoError(
    // containerd's code, which its clients know.
    'failed-precondition',
    `registry "${domain}": the bytes it sent for "${target.digest}" have another digest: the image there, or what is between, is damaged`,
  );

/** The error of one layer: which it was, then the cause. The code stays; aborts stay what they are. */
export function layerError(target: Descriptor, error: unknown): unknown {
  const code = codeOf(error);
  if (code === 'cancelled' || code === 'deadline-exceeded') return error;
  const message = messageOf(error);
  const named = message.includes(target.digest) ? message : `layer "${target.digest}": ${message}`;
  return isNoSpace(error) ? new HakoError('resource-exhausted', named, error) : new HakoError(code, named, error);
}

/** ENOSPC and EDQUOT, however deep they lie. */
function isNoSpace(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 10; at = at.cause, depth++) {
    const { code, errno } = at as { code?: unknown; errno?: unknown };
    if (code === 'ENOSPC' || code === 'EDQUOT' || errno === 'ENOSPC' || errno === 'EDQUOT') return true;
  }
  return false;
}
