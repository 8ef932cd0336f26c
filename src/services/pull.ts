import { cleanupSignal, type Call } from '#base/call.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { silent, type Logger } from '#base/log.ts';
import { formatPlatform, hostPlatform, matchPlatform } from '#base/platforms.ts';
import { familiar, formatReference, normalizeReference } from '#base/reference.ts';
import { Slots } from '#base/slots.ts';
import type { Labels } from '#core/any.ts';
import type { Descriptor, Image, Platform } from '#core/images.ts';
import type { Registry, RegistryOptions } from '#core/registry.ts';
import type { SnapshotDriver } from '#core/snapshots.ts';
import type { Content } from './content.ts';
import type { Diffs } from './diffs.ts';
import type { Images } from './images.ts';
import type { Leases } from './leases.ts';
import { Fetcher, layerError, setLabels, type FetchSource } from './pull-fetch.ts';
import {
  choosePlatform,
  isConfig,
  isIndex,
  isManifest,
  maxJson,
  parseConfig,
  parseIndex,
  parseManifest,
  referenceLabels,
  type ImageConfig,
  type Manifest,
} from './pull-manifest.ts';
import { Layers } from './pull-layers.ts';
import type { LayerProgress } from './pull-progress.ts';
import { Unpacker } from './pull-unpack.ts';
import type { Snapshots } from './snapshots.ts';

export type PullProgress =
  | { readonly kind: 'resolved'; readonly target: Descriptor }
  | {
      readonly kind: 'layer';
      readonly digest: string;
      readonly stage: 'waiting' | 'exists' | 'downloading' | 'downloaded' | 'extracting' | 'done';
      readonly bytes: number;
      readonly total: number;
    }
  /** How long each stage took, in milliseconds; last. Download and unpack overlap. */
  | { readonly kind: 'timing'; readonly resolve: number; readonly download: number; readonly unpack: number };

export interface PullOptions extends RegistryOptions {
  readonly platform?: Platform;
  readonly snapshotter?: string;
  /** Added to those that the image has. */
  readonly labels?: Labels;
}

export interface PullsParts {
  readonly registry: Registry;
  readonly content: Content;
  readonly snapshots: Snapshots;
  readonly diffs: Pick<Diffs, 'apply'>;
  readonly leases: Leases;
  readonly images: Images;
  /** By name: what was unpacked is synced there, once an image, before the image has a name. */
  readonly drivers: ReadonlyMap<string, Pick<SnapshotDriver, 'sync'>>;
  /** The snapshotter that is meant where none is named. */
  readonly defaultSnapshotter: string;
  /** Downloads side by side in one pull. */
  readonly maxDownloads?: number;
  readonly logger?: Logger;
}

/** Marks the leases of pulls, so that a start finds those that a kill has left. */
const pullLabel = 'hakobune.io/pull';
/** Should nobody delete the lease of a pull, it ends by itself; containerd's client gives the same day. */
const leaseLife = 24 * 60 * 60 * 1000;
/** An index may lead to an index, but not for ever. */
const maxDepth = 4;

/** What one pull carries along. */
interface Pull {
  readonly call: Call;
  readonly name: string;
  readonly source: FetchSource;
  readonly options: PullOptions;
  readonly slots: Slots;
  readonly tell: (event: PullProgress) => void;
}

/** Brings images from registries: whole, or not at all. Equal layers are fetched once however many ask. */
export class Pulls {
  readonly #parts: PullsParts;
  readonly #logger: Logger;
  readonly #fetcher: Fetcher;
  readonly #unpacker: Unpacker;

  constructor(parts: PullsParts) {
    this.#parts = parts;
    this.#logger = parts.logger ?? silent;
    this.#fetcher = new Fetcher(parts);
    this.#unpacker = new Unpacker({ ...parts, logger: this.#logger });
  }

  /** Fetches, unpacks and then names the image. A failure leaves nothing behind that was not there before. */
  async pull(
    call: Call,
    reference: string,
    options: PullOptions,
    progress: (event: PullProgress) => void,
  ): Promise<Image> {
    const parsed = normalizeReference(reference);
    const name = formatReference(parsed);
    const began = performance.now();
    const target = await this.#parts.registry.resolve(name, options, call.signal);
    const resolved = performance.now();
    progress({ kind: 'resolved', target });

    const lease = await this.#lease(call, name);
    const stop = new AbortController();
    const inner: Call = { ...call, lease: lease.id, signal: AbortSignal.any([call.signal, stop.signal]) };
    const source = { reference: name, domain: parsed.domain, path: parsed.path, options };
    const slots = new Slots(this.#parts.maxDownloads ?? 3);
    let whole = false;
    try {
      const times = await this.#fetchAndUnpack(
        { call: inner, name, source, options, slots, tell: progress },
        target,
        stop,
      );
      // A power cut from here on finds the trees on disk; one before it finds no image, and `recover` drops the rest.
      await this.#parts.drivers.get(this.#snapshotter(options))?.sync?.(inner.signal);
      const image = await this.#name(inner, name, target, options.labels ?? {});
      whole = true;
      progress({ kind: 'timing', resolve: resolved - began, ...times });
      return image;
    } finally {
      await lease.end(!whole);
    }
  }

  /**
   * Ends the leases of pulls that a kill or a power cut has ended, in one namespace, so that the collector takes what they
   * held. Needed at each start, before anybody may call: trees that were not synced may be torn.
   */
  async recover(call: Call): Promise<void> {
    for (const { id } of this.#parts.leases.list(call, [`labels."${pullLabel}"`])) {
      await this.#parts.leases.delete(call, id, { sync: false });
    }
  }

  /** The caller's lease, or one of our own that `end` deletes; after a failure it waits until all is gone from disk. */
  async #lease(call: Call, name: string): Promise<{ id: string; end: (failed: boolean) => Promise<void> }> {
    if (call.lease !== undefined) return { id: call.lease, end: () => Promise.resolve() };
    const { leases } = this.#parts;
    const expire = new Date(Date.now() + leaseLife).toISOString();
    const { id } = await leases.create(call, '', {
      'containerd.io/gc.expire': expire,
      [pullLabel]: name.slice(0, 1024),
    });
    const end = async (failed: boolean): Promise<void> => {
      try {
        await leases.delete({ ...call, signal: cleanupSignal() }, id, { sync: failed });
      } catch (error) {
        // The caller is told how the pull went; the lease ends by itself.
        if (codeOf(error) !== 'not-found')
          this.#logger.log('warn', 'the lease of a pull was left', { lease: id, error: messageOf(error) });
      }
    };
    return { id, end };
  }

  async #fetchAndUnpack(
    pull: Pull,
    target: Descriptor,
    stop: AbortController,
  ): Promise<{ download: number; unpack: number }> {
    const began = performance.now();
    const { manifest, config } = await this.#descend(pull, target, 0);
    if (manifest.layers.length !== config.diffIds.length) {
      const counts = `${manifest.layers.length} layers in the manifest, ${config.diffIds.length} in the config`;
      throw new HakoError('failed-precondition', `image "${familiar(pull.name)}": ${counts}`);
    }
    const snapshotter = this.#snapshotter(pull.options);
    const stage = new Layers(pull.tell, manifest, config, (layer, show) => this.#fetchLayer(pull, layer, show));
    const unpacking = this.#unpacker.unpack(pull.call, snapshotter, stage.layers);
    try {
      const [top] = await Promise.all([unpacking, ...stage.fetches]);
      if (top !== '') await this.#holdSnapshot(pull.call, manifest.config, snapshotter, top);
    } catch (error) {
      stop.abort(error);
      // Nothing of ours may still write when the lease goes.
      await Promise.allSettled([unpacking, ...stage.fetches]);
      pull.call.signal.throwIfAborted();
      throw error;
    }
    return { download: stage.fetchedAt - began, unpack: stage.unpackTime };
  }

  /** Fetches what leads to the image of the wanted platform, and its config. */
  async #descend(pull: Pull, target: Descriptor, depth: number): Promise<{ manifest: Manifest; config: ImageConfig }> {
    const bytes = await this.#fetchJson(pull, target);
    if (isIndex(target)) {
      if (depth === maxDepth)
        throw new HakoError(
          'failed-precondition',
          `image "${familiar(pull.name)}": more than ${maxDepth} indexes, one inside the other`,
        );
      const children = parseIndex(target, bytes);
      await this.#holdChildren(pull.call, target, children);
      return this.#descend(
        pull,
        choosePlatform(familiar(pull.name), children, pull.options.platform ?? hostPlatform()),
        depth + 1,
      );
    }
    if (!isManifest(target))
      throw new HakoError('failed-precondition', `image "${familiar(pull.name)}": "${target.mediaType}" is no image`);
    const manifest = parseManifest(target, bytes);
    if (!isConfig(manifest.config)) {
      throw new HakoError(
        'failed-precondition',
        `image "${familiar(pull.name)}": it is no container image but holds "${manifest.config.mediaType}"`,
      );
    }
    await this.#holdChildren(pull.call, target, [manifest.config, ...manifest.layers]);
    const config = parseConfig(manifest.config, await this.#fetchJson(pull, manifest.config));
    checkPlatform(pull, config);
    return { manifest, config };
  }

  async #fetchJson({ call, source, slots, name }: Pull, target: Descriptor): Promise<Uint8Array> {
    if (target.size > maxJson) {
      throw new HakoError(
        'resource-exhausted',
        `image "${familiar(name)}": "${target.digest}" has ${target.size} bytes, the limit is ${maxJson}`,
      );
    }
    await this.#fetcher.fetch(
      call,
      source,
      target,
      () => slots.take(call.signal),
      () => {},
    );
    return this.#parts.content.readAll(call, target.digest, maxJson);
  }

  async #fetchLayer(
    { call, source, slots }: Pull,
    layer: Descriptor,
    show: LayerProgress,
  ): Promise<'exists' | 'fetched'> {
    show.enter('waiting');
    const slot = async (): Promise<Disposable> => {
      const taken = await slots.take(call.signal);
      show.enter('downloading');
      return taken;
    };
    try {
      return await this.#fetcher.fetch(call, source, layer, slot, (bytes) => {
        show.enter('downloading');
        show.bytes(bytes);
      });
    } catch (error) {
      throw layerError(layer, error);
    }
  }

  async #holdChildren(call: Call, parent: Descriptor, children: readonly Descriptor[]): Promise<void> {
    const { content } = this.#parts;
    await setLabels(content, call, parent.digest, content.info(call, parent.digest).labels, referenceLabels(children));
  }

  /** The config holds the snapshot, as containerd has it: whoever deletes the image lets go of both. */
  async #holdSnapshot(call: Call, config: Descriptor, snapshotter: string, top: string): Promise<void> {
    const { content } = this.#parts;
    const key = `containerd.io/gc.ref.snapshot.${snapshotter}`;
    await setLabels(content, call, config.digest, content.info(call, config.digest).labels, { [key]: top });
  }

  #snapshotter({ snapshotter = '' }: PullOptions): string {
    return snapshotter === '' ? this.#parts.defaultSnapshotter : snapshotter;
  }

  /** Last of all: who lists the image finds it whole. */
  async #name(call: Call, name: string, target: Descriptor, labels: Labels): Promise<Image> {
    const { images } = this.#parts;
    const paths = ['target', ...Object.keys(labels).map((key) => `labels.${key}`)];
    for (;;) {
      try {
        return await images.update(call, { name, target, labels }, paths);
      } catch (error) {
        if (codeOf(error) !== 'not-found') throw error;
      }
      try {
        return await images.create(call, { name, target, labels });
      } catch (error) {
        // Another pull of the same name was faster.
        if (codeOf(error) !== 'already-exists') throw error;
      }
    }
  }
}

/** An image without an index is for one platform. Asked for another by name, we refuse; else it may run by emulation. */
function checkPlatform({ name, options }: Pull, { platform }: ImageConfig): void {
  if (options.platform === undefined || platform === undefined) return;
  if (matchPlatform(options.platform, platform) !== undefined) return;
  const both = `no match for platform ${formatPlatform(options.platform)}: it is for ${formatPlatform(platform)}`;
  throw new HakoError('not-found', `image "${familiar(name)}": ${both}`);
}
