import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { familiar, formatReference, normalizeReference } from '#base/reference.ts';
import { Slots } from '#base/slots.ts';
import type { Blob } from '#core/content.ts';
import type { Descriptor, Digest, Platform } from '#core/images.ts';
import type { Registry } from '#core/registry.ts';
import type { Content } from './content.ts';
import type { Images } from './images.ts';
import { samePlatform } from './pull-choice.ts';
import {
  isIndex,
  isManifest,
  maxJson,
  mountSource,
  parseIndex,
  parseManifest,
  sourceLabel,
  uploadRef,
} from './pull-manifest.ts';
import { setLabels } from './pull-fetch.ts';
import type { PushedObject, PushOptions } from './pull-options.ts';
import { ObjectTrack } from './pull-progress.ts';

export type { PushedObject, PushOptions, PushProgress } from './pull-options.ts';

export interface PushesParts {
  readonly registry: Registry;
  readonly content: Content;
  readonly images: Images;
  /** Uploads side by side in one push; Docker has 5. */
  readonly maxUploads?: number;
}

/** Bytes read at once, and how often a client hears of it, in milliseconds. */
const chunkSize = 256 * 1024;
const interval = 100;

interface Push {
  readonly call: Call;
  readonly name: string;
  readonly domain: string;
  readonly path: string;
  readonly options: PushOptions;
  readonly slots: Slots;
  readonly tell: (target: Descriptor, stage: PushedObject['stage'], bytes: number) => void;
}

/** What goes to the registry: blobs in any order, then manifests from the inside out. */
interface Plan {
  readonly blobs: Map<Digest, Descriptor>;
  readonly manifests: Descriptor[];
  readonly track: ObjectTrack;
  readonly platforms: readonly Platform[] | undefined;
}

/** Sends images to registries. */
export class Pushes {
  readonly #parts: PushesParts;

  constructor(parts: PushesParts) {
    this.#parts = parts;
  }

  /**
   * Sends the image of that name to where the name says, and gives the digest it has there. Of an index, the platforms
   * that are here whole are sent; failed-precondition when none is. The manifest goes last: a push cut short names nothing.
   */
  async push(
    call: Call,
    reference: string,
    options: PushOptions,
    progress: (event: PushedObject) => void,
  ): Promise<Digest> {
    const parsed = normalizeReference(reference);
    const name = formatReference(parsed);
    const image = options.image ?? name;
    const { target } = this.#parts.images.get(call, image);
    const plan = await this.#plan(call, image, target, options.platforms);
    const stop = new AbortController();
    const push: Push = {
      call: { ...call, signal: AbortSignal.any([call.signal, stop.signal]) },
      name,
      domain: parsed.domain,
      path: parsed.path,
      options,
      slots: new Slots(Math.max(1, options.maxUploads ?? this.#parts.maxUploads ?? 5)),
      tell: (one, stage, bytes) => {
        const { digest, size: total } = one;
        progress({ digest, stage, bytes, total, name: uploadRef(one), parents: plan.track.parents(one), target: one });
      },
    };
    for (const manifest of plan.manifests.toReversed()) push.tell(manifest, 'waiting', 0);
    const uploads = [...plan.blobs.values()].map((blob) => this.#pushBlob(push, blob));
    try {
      await Promise.all(uploads);
    } catch (error) {
      stop.abort(error);
      await Promise.allSettled(uploads);
      throw error;
    }
    return this.#pushManifests(push, plan.manifests);
  }

  async #plan(call: Call, name: string, target: Descriptor, platforms: readonly Platform[] | undefined): Promise<Plan> {
    const plan: Plan = { blobs: new Map(), manifests: [], track: new ObjectTrack(name), platforms };
    const missing = await this.#collect(call, target, plan, 0);
    if (missing === undefined) return plan;
    throw new HakoError(
      'failed-precondition',
      `image "${familiar(name)}": ${missing} is not here: pull the image again before pushing it`,
    );
  }

  /** Adds what `target` needs. Gives the digest that is missing, or undefined; then nothing of it was added. */
  async #collect(call: Call, target: Descriptor, plan: Plan, depth: number): Promise<Digest | undefined> {
    const { content } = this.#parts;
    const { blobs, manifests, track } = plan;
    if (content.find(call, target.digest) === undefined) return target.digest;
    const bytes = await content.readAll(call, target.digest, maxJson);
    if (isManifest(target)) {
      const { config, layers } = parseManifest(target, bytes);
      const needed = [config, ...layers];
      const gone = needed.find(({ digest }) => content.find(call, digest) === undefined);
      if (gone !== undefined) return gone.digest;
      track.lead(target, needed);
      for (const one of needed) blobs.set(one.digest, one);
      if (!manifests.some(({ digest }) => digest === target.digest)) manifests.push(target);
      return undefined;
    }
    if (isIndex(target) && depth <= 4) return this.#collectIndex(call, target, parseIndex(target, bytes), plan, depth);
    if (depth === 0 || isIndex(target))
      throw new HakoError('failed-precondition', `"${target.digest}": "${target.mediaType}" is no image`);
    blobs.set(target.digest, target);
    return undefined;
  }

  /**
   * Registries want all children of an index. Where a pull brought one platform only, its image goes alone, as Docker has
   * it; where several are here but not all, the registry may have the rest, and decides.
   */
  async #collectIndex(
    call: Call,
    target: Descriptor,
    children: readonly Descriptor[],
    plan: Plan,
    depth: number,
  ): Promise<Digest | undefined> {
    const { platforms, manifests, track } = plan;
    let missing: Digest | undefined;
    let whole = 0;
    for (const child of children) {
      const wanted = (one: Platform): boolean => child.platform === undefined || samePlatform(one, child.platform);
      const gone =
        platforms === undefined || platforms.length === 0 || platforms.some(wanted)
          ? await this.#collect(call, child, plan, depth + 1)
          : child.digest;
      if (gone === undefined) whole++;
      else missing ??= gone;
    }
    if (missing !== undefined && whole === 0) return missing;
    if (missing !== undefined && whole === 1) return undefined;
    track.lead(target, children);
    manifests.push(target);
    return undefined;
  }

  async #pushBlob(push: Push, blob: Descriptor): Promise<void> {
    const { call, name, domain, path, options, tell } = push;
    const { registry, content } = this.#parts;
    const { digest, size: total } = blob;
    tell(blob, 'waiting', 0);
    using _slot = await push.slots.take(call.signal);
    const { labels } = content.info(call, digest);
    const from = mountSource(domain, path, labels);
    const data = (): AsyncIterable<Uint8Array> => this.#read(push, blob);
    const stage = await registry.pushBlob(name, blob, data, options, call.signal, from);
    tell(blob, stage, total);
    await setLabels(content, call, digest, labels, sourceLabel(domain, path, labels));
  }

  async *#read({ call, tell }: Push, target: Descriptor): AsyncGenerator<Uint8Array> {
    const { digest, size: total } = target;
    await using blob: Blob = await this.#parts.content.open(call, digest);
    let told = 0;
    for (let offset = 0; offset < total;) {
      const chunk = await blob.read(offset, Math.min(chunkSize, total - offset), call.signal);
      if (chunk.length === 0)
        throw new HakoError(
          'data-loss',
          `content "${digest}": ends after ${offset} of ${total} bytes: pull the image again`,
        );
      yield chunk;
      offset += chunk.length;
      if (performance.now() - told < interval) continue;
      told = performance.now();
      tell(target, 'pushing', offset);
    }
  }

  /** Inner manifests by digest, the last one under the name. */
  async #pushManifests(
    { call, name, domain, path, options, tell }: Push,
    manifests: readonly Descriptor[],
  ): Promise<Digest> {
    const { registry, content } = this.#parts;
    let digest = '';
    for (const [at, manifest] of manifests.entries()) {
      const bytes = await content.readAll(call, manifest.digest, maxJson);
      const to = at === manifests.length - 1 ? name : `${domain}/${path}@${manifest.digest}`;
      digest = await registry.pushManifest(to, manifest, bytes, options, call.signal);
      tell(manifest, 'pushed', manifest.size);
      const { labels } = content.info(call, manifest.digest);
      await setLabels(content, call, manifest.digest, labels, sourceLabel(domain, path, labels));
    }
    return digest;
  }
}
