import { createHash } from 'node:crypto';
import { HakoError, notFound } from '#base/errors.ts';
import { hostPlatform, matchPlatform, normalizePlatform, type PlatformWords } from '#base/platforms.ts';
import type { Descriptor as DescriptorMessage } from '#proto/gen/containerd/types/descriptor_pb.ts';
import type { Containerd } from '../containerd.ts';
import { contents, readDocument } from './content.ts';

/** OCI image-spec, descriptor.md. */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: PlatformWords;
  annotations?: Record<string, string>;
  [other: string]: unknown;
}

/** A manifest or an index as it is in its blob, with all that we do not know of. */
export interface Manifest {
  mediaType?: string;
  config: Descriptor;
  layers: Descriptor[];
  [other: string]: unknown;
}

export interface Index {
  mediaType?: string;
  manifests: Descriptor[];
  [other: string]: unknown;
}

export const isManifest = (type: string): boolean =>
  type === 'application/vnd.oci.image.manifest.v1+json' ||
  type === 'application/vnd.docker.distribution.manifest.v2+json';

export const isIndex = (type: string): boolean =>
  type === 'application/vnd.oci.image.index.v1+json' ||
  type === 'application/vnd.docker.distribution.manifest.list.v2+json';

export const isConfig = (type: string): boolean =>
  type === 'application/vnd.oci.image.config.v1+json' || type === 'application/vnd.docker.container.image.v1+json';

export const isLayer = (type: string): boolean =>
  type.startsWith('application/vnd.oci.image.layer.') || type.startsWith('application/vnd.docker.image.rootfs.');

export const fromMessage = (message: DescriptorMessage | undefined): Descriptor => ({
  mediaType: message?.mediaType ?? '',
  digest: message?.digest ?? '',
  size: Number(message?.size ?? 0),
});

/** What hangs on an image's target, read from the content store; each document once. */
export class ImageGraph {
  readonly #door: Containerd;
  readonly #documents = new Map<string, Promise<Buffer>>();

  constructor(door: Containerd) {
    this.#door = door;
  }

  text(digest: string): Promise<Buffer> {
    let found = this.#documents.get(digest);
    if (found === undefined) this.#documents.set(digest, (found = readDocument(this.#door, digest)));
    return found;
  }

  async manifest(digest: string): Promise<Manifest> {
    const { config, layers, ...rest } = (await this.#json(digest)) as Partial<Manifest>;
    if (typeof config !== 'object' || config === null)
      throw new HakoError('invalid-argument', `blob "${digest}" is no image manifest: it names no configuration`);
    return { ...rest, config, layers: layers ?? [] };
  }

  async index(digest: string): Promise<Index> {
    const { manifests, ...rest } = (await this.#json(digest)) as Partial<Index>;
    return { ...rest, manifests: manifests ?? [] };
  }

  async #json(digest: string): Promise<unknown> {
    const text = (await this.text(digest)).toString();
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value === 'object' && value !== null) return value;
    } catch (error) {
      throw new HakoError('invalid-argument', `blob "${digest}" is no JSON document`, error);
    }
    throw new HakoError('invalid-argument', `blob "${digest}" is no JSON object`);
  }

  /** What a descriptor's content names; nothing for a layer or what we do not know. */
  async children(of: Descriptor): Promise<Descriptor[]> {
    if (isIndex(of.mediaType)) return (await this.index(of.digest)).manifests;
    if (!isManifest(of.mediaType)) return [];
    const { config, layers } = await this.manifest(of.digest);
    return [config, ...layers];
  }

  async configPlatform(config: Descriptor): Promise<PlatformWords> {
    const found = (await this.#json(config.digest)) as Partial<PlatformWords>;
    return normalizePlatform({ ...found, os: found.os ?? '', architecture: found.architecture ?? '' });
  }

  /** The one manifest for a platform, best match first. not-found when there is none, or when a document is missing. */
  async manifestFor(target: Descriptor, platform: PlatformWords = hostPlatform()): Promise<Descriptor> {
    if (isManifest(target.mediaType)) return target;
    if (!isIndex(target.mediaType))
      throw new HakoError('not-found', `unexpected media type ${target.mediaType} for ${target.digest}: not found`);
    const { manifests } = await this.index(target.digest);
    const ranked = manifests
      .map((one) => ({ one, rank: one.platform === undefined ? Infinity : matchPlatform(platform, one.platform) }))
      .filter((pair): pair is { one: Descriptor; rank: number } => pair.rank !== undefined)
      .sort((a, b) => (a.rank === b.rank ? 0 : a.rank - b.rank));
    for (const { one } of ranked) {
      if (!isIndex(one.mediaType) && !isManifest(one.mediaType)) continue;
      return this.manifestFor(one, platform);
    }
    throw new HakoError('not-found', `no match for platform in manifest ${target.digest}: not found`);
  }

  /** The target, the documents and the layers that one platform needs. */
  async closure(target: Descriptor, platform?: PlatformWords): Promise<Descriptor[]> {
    const path: Descriptor[] = [target];
    let at = target;
    while (isIndex(at.mediaType)) {
      const chosen = await this.#best(at, platform);
      if (chosen === undefined) return path;
      path.push((at = chosen));
    }
    return [...path, ...(await this.children(at))];
  }

  async #best(index: Descriptor, platform: PlatformWords = hostPlatform()): Promise<Descriptor | undefined> {
    const { manifests } = await this.index(index.digest);
    const ranked = manifests
      .map((one) => ({ one, rank: one.platform === undefined ? Infinity : matchPlatform(platform, one.platform) }))
      .filter((pair): pair is { one: Descriptor; rank: number } => pair.rank !== undefined)
      .sort((a, b) => (a.rank === b.rank ? 0 : a.rank - b.rank));
    return ranked[0]?.one;
  }

  /** The platforms that an image is for, by its indices, or by its configurations where those do not say. */
  async platforms(target: Descriptor): Promise<PlatformWords[]> {
    const { platform } = target;
    if (platform !== undefined)
      return platform.os === 'unknown' || platform.architecture === 'unknown' ? [] : [platform];
    if (isConfig(target.mediaType)) return [await this.configPlatform(target)];
    const found = await Promise.all((await this.children(target)).map((child) => this.platforms(child)));
    return found.flat();
  }

  /** Digests of the layers' uncompressed content, lowest first. */
  async diffIds(target: Descriptor, platform?: PlatformWords): Promise<string[]> {
    const { config } = await this.manifest((await this.manifestFor(target, platform)).digest);
    const found = (await this.#json(config.digest)) as { rootfs?: { diff_ids?: string[] } };
    return found.rootfs?.diff_ids ?? [];
  }

  /** Whether the content store has the blob. */
  async has(digest: string): Promise<boolean> {
    try {
      await contents(this.#door).info({ digest });
      return true;
    } catch (error) {
      if (error instanceof HakoError && error.code === 'not-found') return false;
      throw error;
    }
  }
}

/** The name of the snapshot that a stack of layers unpacks to (OCI image-spec, config.md, "Layer ChainID"). */
export function chainId(diffIds: readonly string[]): string {
  const [first, ...rest] = diffIds;
  if (first === undefined) throw notFound('layer', 'lowest');
  return rest.reduce((below, own) => `sha256:${createHash('sha256').update(`${below} ${own}`).digest('hex')}`, first);
}
