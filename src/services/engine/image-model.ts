import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { hostPlatform, matchPlatform, parsePlatform } from '#base/platforms.ts';
import { familiar, normalizeReference, parseReference } from '#base/reference.ts';
import type { Descriptor, Image } from '#core/images.ts';
import {
  chainIds,
  choosePlatform,
  isIndex,
  isManifest,
  maxJson,
  parseConfig,
  parseIndex,
  parseManifest,
} from '../pull-manifest.ts';
import type { ImageDefaults } from './config.ts';
import type { EngineHouse } from './house.ts';

/** OCI image-spec, config.md: an image's configuration, as far as we read it. */
export interface ImageConfig {
  readonly created?: string;
  readonly author?: string;
  readonly architecture?: string;
  readonly variant?: string;
  readonly os?: string;
  readonly config?: ImageDefaults;
  readonly rootfs?: { readonly type?: string; readonly diff_ids?: readonly string[] };
  readonly history?: readonly {
    readonly created?: string;
    readonly created_by?: string;
    readonly comment?: string;
    readonly empty_layer?: boolean;
  }[];
}

/** One platform of an image, read. */
export interface ImageModel {
  /** Docker's id: the digest of the configuration. */
  readonly id: string;
  readonly target: Descriptor;
  readonly manifest: Descriptor;
  readonly config: ImageConfig;
  readonly layers: readonly Descriptor[];
  /** Key of the snapshot that holds the whole tree; '' for an image without layers. */
  readonly chainId: string;
}

/** Models by what they were read from; content never changes, so they stay true. */
export class ImageCache {
  readonly #models = new Map<string, ImageModel>();

  find(key: string): ImageModel | undefined {
    return this.#models.get(key);
  }

  keep(key: string, model: ImageModel): void {
    // A machine holds a few hundred images; more than that and the oldest is read again.
    if (this.#models.size >= 512) this.#models.delete(this.#models.keys().next().value ?? '');
    this.#models.set(key, model);
  }
}

/** Reads what an image's name points at, for this machine or another platform. */
export async function readImage(
  house: EngineHouse,
  call: Call,
  target: Descriptor,
  platform = '',
): Promise<ImageModel> {
  const key = `${call.namespace} ${target.digest} ${platform}`;
  const kept = house.imageCache.find(key);
  // Content is seen by namespace, and the collector may have taken it meanwhile.
  if (kept !== undefined && house.content.find(call, kept.id) !== undefined) return kept;
  const manifest = await findManifest(house, call, target, platform);
  const { config, layers } = parseManifest(manifest, await house.content.readAll(call, manifest.digest, maxJson));
  const text = await house.content.readAll(call, config.digest, maxJson);
  const { diffIds } = parseConfig(config, text);
  const model: ImageModel = {
    id: config.digest,
    target,
    manifest,
    config: JSON.parse(Buffer.from(text).toString('utf8')) as ImageConfig,
    layers,
    chainId: chainIds(diffIds).at(-1) ?? '',
  };
  house.imageCache.keep(key, model);
  return model;
}

/** The manifest of the platform asked for; without one, of what is here the best for this machine. */
async function findManifest(
  house: EngineHouse,
  call: Call,
  target: Descriptor,
  platform: string,
  depth = 0,
): Promise<Descriptor> {
  if (!isIndex(target)) return target;
  if (depth > 4)
    throw new HakoError('failed-precondition', `image "${target.digest}": indexes within indexes, too deep`);
  const children = parseIndex(target, await house.content.readAll(call, target.digest, maxJson));
  if (platform !== '')
    return findManifest(
      house,
      call,
      choosePlatform(target.digest, children, parsePlatform(platform)),
      platform,
      depth + 1,
    );
  const here = children.filter(
    (child) => (isManifest(child) || isIndex(child)) && house.content.find(call, child.digest) !== undefined,
  );
  const runs = here.filter(
    (child) => child.platform === undefined || matchPlatform(hostPlatform(), child.platform) !== undefined,
  );
  const chosen = runs.length > 0 ? choosePlatform(target.digest, runs, hostPlatform()) : here[0];
  if (chosen === undefined) throw new HakoError('not-found', `image "${target.digest}": none of its platforms is here`);
  return findManifest(house, call, chosen, '', depth + 1);
}

/** An image that was found, with what it was found by. */
export interface FoundImage {
  readonly image: Image;
  readonly model: ImageModel;
  /** False when it was named by its id. */
  readonly byName: boolean;
}

/**
 * The image that `ref` means: a name as people type it, an id, or a prefix of one. not-found in Docker's words. An image
 * whose content is not whole counts as missing when it is looked for by id.
 */
export async function findImage(house: EngineHouse, call: Call, ref: string, platform?: string): Promise<FoundImage> {
  const named = findByName(house, call, ref);
  if (named !== undefined)
    return { image: named, model: await readImage(house, call, named.target, platform), byName: true };
  const hex = /^(?:sha256:)?([a-f0-9]{1,64})$/.exec(ref)?.[1];
  const matches = new Map<string, FoundImage>();
  if (hex !== undefined) {
    for (const image of house.images.list(call, [])) {
      const model = await readImage(house, call, image.target, platform).catch(() => undefined);
      if (model === undefined) continue;
      const ids = [model.id, image.target.digest, model.manifest.digest];
      if (ids.some((id) => id.startsWith(`sha256:${hex}`)) && !matches.has(model.id)) {
        matches.set(model.id, { image, model, byName: false });
      }
    }
  }
  if (matches.size > 1)
    throw new HakoError('invalid-argument', `image "${ref}": several images begin with this id, give more of it`);
  for (const found of matches.values()) return found;
  throw noSuchImage(ref);
}

/** Docker shows `name:tag` even where only the name was typed. */
export function noSuchImage(ref: string): HakoError {
  let shown = ref;
  if (!/^(?:sha256:)?[a-f0-9]{64}$/.test(ref)) shown = familiar(normalizeReference(ref));
  return new HakoError('not-found', `No such image: ${shown}`);
}

function findByName(house: EngineHouse, call: Call, ref: string): Image | undefined {
  if (/^(?:sha256:)?[a-f0-9]{64}$/.test(ref)) return undefined;
  let reference;
  try {
    reference = normalizeReference(ref);
  } catch (error) {
    // A short id may be no valid name; what is neither has to be told.
    if (/^sha256:[a-f0-9]+$/.test(ref)) return undefined;
    throw error;
  }
  const { domain, path, tag, digest } = reference;
  const base = `${domain}/${path}`;
  if (digest === undefined) return house.images.find(call, `${base}:${tag ?? 'latest'}`);
  const exact =
    house.images.find(call, `${base}@${digest}`) ?? house.images.find(call, `${base}:${tag ?? ''}@${digest}`);
  if (exact !== undefined) return exact;
  return house.images
    .list(call, [])
    .find((image) => image.target.digest === digest && repositoryOf(image.name) === base);
}

/** `docker.io/library/alpine` of any name of an image; the name itself when it is not one of a registry's. */
export function repositoryOf(name: string): string {
  try {
    const { domain, path } = parseReference(name);
    return `${domain}/${path}`;
  } catch {
    return name;
  }
}

/** As Docker shows it; what is no reference is shown as it is. */
export function familiarOr(name: string): string {
  try {
    return familiar(name);
  } catch {
    return name;
  }
}
