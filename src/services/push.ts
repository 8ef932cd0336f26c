import type { Call } from '#base/call.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { formatReference, normalizeReference } from '#base/reference.ts';
import { Slots } from '#base/slots.ts';
import type { Blob } from '#core/content.ts';
import type { Labels } from '#core/any.ts';
import type { Descriptor, Digest } from '#core/images.ts';
import type { Registry } from '#core/registry.ts';
import type { Content } from './content.ts';
import type { Images } from './images.ts';
import { isIndex, maxJson, mountSource, sourceLabel, sourcesOf, uploadRef } from './pull-manifest.ts';
import { setLabels } from './pull-fetch.ts';
import type { PushedObject, PushOptions } from './pull-options.ts';
import { PushPlanner } from './push-plan.ts';

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

/** Sends images to registries. */
export class Pushes {
  readonly #parts: PushesParts;

  constructor(parts: PushesParts) {
    this.#parts = parts;
  }

  /**
   * Sends the image of that name to where the name says, and gives the digest it has there. Of an index, the platforms
   * that are here whole are sent; not-found when none is. The manifest goes last: a push cut short names nothing.
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
    const { content } = this.#parts;
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
        const parents = planner.track.parents(one);
        progress({ digest, stage, bytes, total, name: uploadRef(one), parents, target: one });
      },
    };
    const reach = (blob: Descriptor, labels: Labels): Promise<boolean> => this.#reach(push, blob, labels);
    const planner = new PushPlanner({ content, platforms: options.platforms, reach }, call, image);
    const { blobs, manifests } = await planner.plan(target);
    for (const manifest of manifests.toReversed()) push.tell(manifest, 'waiting', 0);
    const uploads = [...new Map(blobs.map((one) => [one.digest, one])).values()].map((one) =>
      this.#pushBlob(push, one),
    );
    try {
      await Promise.all(uploads);
    } catch (error) {
      stop.abort(error);
      await Promise.allSettled(uploads);
      throw error;
    }
    return this.#pushManifests(push, manifests);
  }

  /**
   * Whether the registry gets a blob that is not here: it has it, or mounts it from the repository that the blob's manifest
   * came from. So an image that was pulled for one platform can be copied within its registry whole.
   */
  async #reach({ call, name, domain, path, options, tell }: Push, blob: Descriptor, labels: Labels): Promise<boolean> {
    if (sourcesOf(domain, labels).length === 0) return false;
    const absent = new HakoError('not-found', `content digest ${blob.digest}: not found`);
    // oxlint-disable-next-line require-yield
    const data = async function* (): AsyncGenerator<Uint8Array> {
      throw absent;
    };
    try {
      const from = mountSource(domain, path, labels);
      const stage = await this.#parts.registry.pushBlob(name, blob, data, options, call.signal, from);
      tell(blob, 'waiting', 0);
      tell(blob, stage, blob.size);
      return true;
    } catch (error) {
      if (error === absent) return false;
      throw error;
    }
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
      digest = await registry.pushManifest(to, manifest, bytes, options, call.signal).catch((error: unknown) => {
        throw isIndex(manifest) ? indexError(error) : error;
      });
      tell(manifest, 'pushed', manifest.size);
      const { labels } = content.info(call, manifest.digest);
      await setLabels(content, call, manifest.digest, labels, sourceLabel(domain, path, labels));
    }
    return digest;
  }
}

/** Most registries take an index only when they have all that it names. */
function indexError(error: unknown): unknown {
  if (codeOf(error) !== 'invalid-argument') return error;
  const advice = 'it may lack what the index names: pull all platforms first, or push one';
  return new HakoError('invalid-argument', `${messageOf(error)}: ${advice}`, error);
}
