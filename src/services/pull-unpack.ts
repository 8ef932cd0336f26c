import { randomBytes } from 'node:crypto';
import { cleanupSignal, type Call } from '#base/call.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { Locks } from '#base/locks.ts';
import type { Logger } from '#base/log.ts';
import type { Descriptor, Digest } from '#core/images.ts';
import type { Mount } from '#core/mounts.ts';
import type { Content } from './content.ts';
import type { Diffs } from './diffs.ts';
import { layerError, setLabels } from './pull-fetch.ts';
import { chainIds } from './pull-manifest.ts';
import type { Snapshots } from './snapshots.ts';

export interface UnpackParts {
  readonly content: Content;
  readonly snapshots: Snapshots;
  readonly diffs: Pick<Diffs, 'apply'>;
  readonly logger: Logger;
}

/** One layer as the unpacker meets it. */
export interface UnpackLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** Resolves when the bytes are in the store. */
  readonly fetched: Promise<unknown>;
  /** Extraction begins, and later is done or was not needed. */
  readonly started: () => void;
  readonly progress: (bytes: number) => void;
  readonly finished: (unpacked: boolean) => void;
}

/**
 * Unpacks layers into snapshots with the names, keys and labels of containerd's own unpacker, so that `ctr` and we share
 * them. One instance for all pulls: equal layers on equal layers are unpacked once.
 */
export class Unpacker {
  readonly #parts: UnpackParts;
  readonly #locks = new Locks();

  constructor(parts: UnpackParts) {
    this.#parts = parts;
  }

  /** Unpacks in order; a layer waits for its bytes and for the one below. Gives the name of the top snapshot, '' for none. */
  async unpack(call: Call, snapshotter: string, layers: readonly UnpackLayer[]): Promise<string> {
    const chain = chainIds(layers.map(({ diffId }) => diffId));
    let parent = '';
    for (const [at, layer] of layers.entries()) {
      const name = chain[at] ?? '';
      using _lock = await this.#locks.hold(`${call.namespace}/${snapshotter}/${name}`, call.signal);
      const mounted = await this.#prepare(call, snapshotter, name, parent, layer);
      if (mounted === undefined) {
        // The snapshot is there; the blob is wanted all the same, or the image could not be pushed.
        await layer.fetched;
        layer.finished(false);
      } else {
        await this.#extract(call, snapshotter, name, mounted, layer);
        layer.finished(true);
      }
      parent = name;
    }
    return parent;
  }

  /** An active snapshot to unpack into; undefined when the layer is there already (then our lease holds it). */
  async #prepare(
    call: Call,
    snapshotter: string,
    name: string,
    parent: string,
    { descriptor, diffId }: UnpackLayer,
  ): Promise<{ key: string; mounts: readonly Mount[]; labels: Record<string, string> } | undefined> {
    const { snapshots } = this.#parts;
    const labels = { ...inherited(descriptor), 'containerd.io/snapshot.ref': name };
    for (let attempt = 1; ; attempt++) {
      const key = `extract-${uniquePart()} ${name}`;
      try {
        return { key, mounts: await snapshots.prepare(call, snapshotter, key, parent, labels), labels };
      } catch (error) {
        if (codeOf(error) !== 'already-exists') throw error;
      }
      try {
        snapshots.stat(call, snapshotter, name);
        return undefined;
      } catch (error) {
        if (codeOf(error) !== 'not-found') throw error;
      }
      // Taken but not there: somebody is removing it. Rare.
      if (attempt === 3)
        throw new HakoError('unavailable', `snapshot "${name}" for diff "${diffId}": it comes and goes, try again`);
    }
  }

  async #extract(
    call: Call,
    snapshotter: string,
    name: string,
    { key, mounts, labels }: { key: string; mounts: readonly Mount[]; labels: Record<string, string> },
    layer: UnpackLayer,
  ): Promise<void> {
    const { content, snapshots, diffs } = this.#parts;
    const { descriptor, diffId } = layer;
    let committed = false;
    try {
      await layer.fetched;
      layer.started();
      const { digest } = await diffs
        .apply(call, descriptor, mounts, { progress: layer.progress })
        .catch((error: unknown) => {
          throw layerError(descriptor, error);
        });
      if (digest !== diffId) {
        throw new HakoError(
          'data-loss',
          `layer "${descriptor.digest}" unpacks to ${digest}, but the image's config says ${diffId}`,
        );
      }
      committed = await this.#commit(call, snapshotter, name, key, labels);
      const before = content.info(call, descriptor.digest).labels;
      await setLabels(content, call, descriptor.digest, before, { 'containerd.io/uncompressed': diffId });
    } finally {
      if (!committed) await this.#remove(call, snapshots, snapshotter, key);
    }
  }

  /** False when another client was faster: then our tree is not needed. */
  async #commit(
    call: Call,
    snapshotter: string,
    name: string,
    key: string,
    labels: Record<string, string>,
  ): Promise<boolean> {
    try {
      // Synced once for all layers, by whoever names the image.
      await this.#parts.snapshots.commit(call, snapshotter, name, key, labels, { sync: false });
      return true;
    } catch (error) {
      if (codeOf(error) === 'already-exists') return false;
      throw error;
    }
  }

  async #remove(call: Call, snapshots: Snapshots, snapshotter: string, key: string): Promise<void> {
    try {
      await snapshots.remove({ ...call, signal: cleanupSignal() }, snapshotter, key);
    } catch (error) {
      // The collector takes it with our lease.
      if (codeOf(error) !== 'not-found')
        this.#parts.logger.log('warn', 'a half-unpacked layer was left', { key, error: messageOf(error) });
    }
  }
}

/** What a layer's annotations say to the snapshotter becomes labels of its snapshot. */
const inherited = ({ annotations = {} }: Descriptor): Record<string, string> =>
  Object.fromEntries(Object.entries(annotations).filter(([key]) => key.startsWith('containerd.io/snapshot/')));

/** Nanoseconds and chance, as in the keys of containerd's unpacker. */
const uniquePart = (): string => `${process.hrtime.bigint() % 1_000_000_000n}-${randomBytes(3).toString('base64url')}`;
