import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { formatPlatform, matchPlatform } from '#base/platforms.ts';
import { familiar } from '#base/reference.ts';
import type { Slots } from '#base/slots.ts';
import type { Descriptor, Digest } from '#core/images.ts';
import type { Content } from './content.ts';
import { chooseChildren, chooseUnpack, isForeign } from './pull-choice.ts';
import { layerError, setLabels, type Fetcher, type FetchSource } from './pull-fetch.ts';
import { Layers, type LayerFetch } from './pull-layers.ts';
import {
  isConfig,
  isIndex,
  isLayer,
  isManifest,
  maxJson,
  parseConfig,
  parseIndex,
  parseManifest,
  referenceLabels,
  type ImageConfig,
} from './pull-manifest.ts';
import type { PullOptions, PullProgress } from './pull-options.ts';
import { ObjectSteps, ObjectTrack, type LayerProgress } from './pull-progress.ts';
import type { Unpacker } from './pull-unpack.ts';

/** An index may lead to an index, but not for ever. */
const maxDepth = 4;

/** What one pull carries along. */
export interface Pull {
  readonly call: Call;
  readonly name: string;
  readonly source: FetchSource;
  readonly options: PullOptions;
  readonly slots: Slots;
  readonly tell: (event: PullProgress) => void;
  /** Ends the rest of the pull when a part of it has failed. */
  readonly stop: AbortController;
}

export interface TreeParts {
  readonly content: Content;
  readonly fetcher: Fetcher;
  readonly unpacker: Unpacker;
  readonly defaultSnapshotter: string;
}

/** An image that was unpacked: its config is to hold the top of its trees. */
export interface Unpacked {
  readonly config: Descriptor;
  readonly snapshotter: string;
  readonly top: string;
}

/** Everything that one reference leads to, as far as the options want it: fetched, labelled, unpacked. */
export class PullTree {
  readonly #parts: TreeParts;
  readonly #pull: Pull;
  readonly #track: ObjectTrack;
  /** By digest: what is on its way, or here. */
  readonly #fetches = new Map<Digest, LayerFetch>();
  readonly #unpacked: Unpacked[] = [];
  readonly #began = performance.now();
  #fetchedAt = this.#began;
  #unpackTime = 0;

  constructor(parts: TreeParts, pull: Pull) {
    this.#parts = parts;
    this.#pull = pull;
    this.#track = new ObjectTrack(pull.name);
  }

  async run(target: Descriptor): Promise<{ unpacked: readonly Unpacked[]; download: number; unpack: number }> {
    try {
      await this.#walk(target, 0);
    } catch (error) {
      this.#pull.stop.abort(error);
      throw error;
    } finally {
      // Nothing of ours may still write when the lease goes.
      await Promise.allSettled([...this.#fetches.values()].map(({ fetched }) => fetched));
    }
    return { unpacked: this.#unpacked, download: this.#fetchedAt - this.#began, unpack: this.#unpackTime };
  }

  async #walk(target: Descriptor, depth: number): Promise<void> {
    const { name, options } = this.#pull;
    if (isIndex(target)) {
      if (depth === maxDepth) throw this.#refuse(`more than ${maxDepth} indexes, one inside the other`);
      const children = parseIndex(target, await this.#fetchJson(target));
      await this.#holdChildren(target, children);
      const chosen = chooseChildren(familiar(name), children, options);
      this.#track.lead(target, chosen);
      await this.#all(chosen.map((child) => this.#walk(child, depth + 1)));
    } else if (isManifest(target)) {
      await this.#walkManifest(target);
    } else {
      if (options.platforms === undefined) throw this.#refuse(`"${target.mediaType}" is no image`);
      await this.#fetch(target).fetched;
    }
  }

  async #walkManifest(target: Descriptor): Promise<void> {
    const { options } = this.#pull;
    const { config: descriptor, layers } = parseManifest(target, await this.#fetchJson(target));
    const image = isConfig(descriptor);
    if (!image && options.platforms === undefined)
      throw this.#refuse(`it is no container image but holds "${descriptor.mediaType}"`);
    await this.#holdChildren(target, [descriptor, ...layers]);
    const foreign = isForeign(target, options);
    this.#track.lead(target, foreign ? [descriptor] : [descriptor, ...layers]);
    if (foreign || !image) {
      const wanted = foreign ? [descriptor] : [descriptor, ...layers];
      await this.#all(wanted.map((one) => this.#fetch(one).fetched));
      return;
    }
    const config = parseConfig(descriptor, await this.#fetchJson(descriptor));
    this.#checkPlatform(config);
    await this.#fetchImage(descriptor, config, layers);
  }

  async #fetchImage(descriptor: Descriptor, config: ImageConfig, children: readonly Descriptor[]): Promise<void> {
    const { options, call, tell } = this.#pull;
    const snapshotter = chooseUnpack(config.platform, options, this.#parts.defaultSnapshotter);
    // An attestation has an image's config, but nothing to unpack.
    const layers = options.platforms === undefined ? children : children.filter(isLayer);
    const others = children.filter((child) => !layers.includes(child));
    const { diffIds } = config;
    if (layers.length !== diffIds.length && (layers.length > 0 || options.platforms === undefined)) {
      const counts = `number of layers and diffIDs don't match: ${layers.length} != ${diffIds.length}`;
      throw this.#refuse(counts);
    }
    const rest = this.#all(others.map((one) => this.#fetch(one).fetched));
    if (snapshotter === undefined) {
      await this.#all<unknown>([rest, ...layers.map((one) => this.#fetch(one).fetched)]);
      return;
    }
    const stage = new Layers(tell, layers, diffIds, (layer, show) => this.#fetch(layer, show));
    const unpacking = this.#parts.unpacker.unpack(call, snapshotter, stage.layers);
    const [top] = await this.#all<unknown>([unpacking, rest, ...stage.fetches]);
    this.#unpackTime += stage.unpackTime;
    if (typeof top === 'string' && top !== '') this.#unpacked.push({ config: descriptor, snapshotter, top });
  }

  /** All of them; the first failure ends the others, and none is left running. */
  async #all<T>(parts: readonly Promise<T>[]): Promise<T[]> {
    try {
      return await Promise.all(parts);
    } catch (error) {
      this.#pull.stop.abort(error);
      await Promise.allSettled(parts);
      throw error;
    }
  }

  async #fetchJson(target: Descriptor): Promise<Uint8Array> {
    if (target.size > maxJson) {
      throw new HakoError(
        'resource-exhausted',
        `image "${familiar(this.#pull.name)}": "${target.digest}" has ${target.size} bytes, the limit is ${maxJson}`,
      );
    }
    await this.#fetch(target).fetched;
    return this.#parts.content.readAll(this.#pull.call, target.digest, maxJson);
  }

  /** Starts to fetch, unless it has been started. A layer that is shown speaks in an error, too. */
  #fetch(target: Descriptor, show?: LayerProgress): LayerFetch {
    const before = this.#fetches.get(target.digest);
    if (before !== undefined) return before;
    const steps = new ObjectSteps(target, this.#track, this.#pull.tell);
    const fetched = this.#bring(target, steps, show);
    const fetch = { steps, fetched };
    this.#fetches.set(target.digest, fetch);
    // Whoever waits for it hears of a failure; nobody may be waiting yet.
    fetched.catch(() => {});
    return fetch;
  }

  async #bring(target: Descriptor, steps: ObjectSteps, show?: LayerProgress): Promise<'exists' | 'fetched'> {
    const { call, source, slots } = this.#pull;
    show?.enter('waiting');
    steps.enter('waiting');
    const progress = (bytes: number): void => {
      show?.enter('downloading');
      show?.bytes(bytes);
      steps.bytes('downloading', bytes);
    };
    try {
      const how = await this.#parts.fetcher.fetch(call, source, target, () => slots.take(call.signal), progress);
      this.#fetchedAt = performance.now();
      steps.enter(how === 'exists' ? 'exists' : 'complete');
      return how;
    } catch (error) {
      throw isLayer(target) ? layerError(target, error) : error;
    }
  }

  async #holdChildren(parent: Descriptor, children: readonly Descriptor[]): Promise<void> {
    const { content } = this.#parts;
    const { call } = this.#pull;
    await setLabels(content, call, parent.digest, content.info(call, parent.digest).labels, referenceLabels(children));
  }

  /** An image without an index is for one platform. Asked for another by name, we refuse; else it may run by emulation. */
  #checkPlatform({ platform }: ImageConfig): void {
    const { platform: wanted } = this.#pull.options;
    if (wanted === undefined || platform === undefined || matchPlatform(wanted, platform) !== undefined) return;
    const both = `no match for platform ${formatPlatform(wanted)}: it is for ${formatPlatform(platform)}`;
    throw new HakoError('not-found', `image "${familiar(this.#pull.name)}": ${both}`);
  }

  #refuse(why: string): HakoError {
    return new HakoError('failed-precondition', `image "${familiar(this.#pull.name)}": ${why}`);
  }
}
