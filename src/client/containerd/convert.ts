import { createGunzip, createZstdDecompress } from 'node:zlib';
import { Readable } from 'node:stream';
import { digestOf } from '#base/digest.ts';
import { matchPlatform, type PlatformWords } from '#base/platforms.ts';
import type { Containerd } from '../containerd.ts';
import { contents, readBlob, writeBlob } from './content.ts';
import { ImageGraph, isIndex, isLayer, isManifest, type Descriptor } from './image-graph.ts';

export interface ConvertRequest {
  readonly uncompress: boolean;
  readonly toOci: boolean;
  /** Manifests of an index that match none of these are left out; none of them: all stay. */
  readonly platforms: readonly PlatformWords[];
}

const docker = 'application/vnd.docker.';
const ociTypes: Readonly<Record<string, string>> = {
  [`${docker}distribution.manifest.list.v2+json`]: 'application/vnd.oci.image.index.v1+json',
  [`${docker}distribution.manifest.v2+json`]: 'application/vnd.oci.image.manifest.v1+json',
  [`${docker}container.image.v1+json`]: 'application/vnd.oci.image.config.v1+json',
  [`${docker}image.rootfs.diff.tar`]: 'application/vnd.oci.image.layer.v1.tar',
  [`${docker}image.rootfs.diff.tar.gzip`]: 'application/vnd.oci.image.layer.v1.tar+gzip',
  [`${docker}image.rootfs.foreign.diff.tar`]: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  [`${docker}image.rootfs.foreign.diff.tar.gzip`]: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
};

/** The order that Go's structs give: the digest of what we write is then that of what containerd's client writes. */
const documentOrder = [
  'schemaVersion',
  'mediaType',
  'artifactType',
  'config',
  'layers',
  'manifests',
  'subject',
  'annotations',
];
const descriptorOrder = ['mediaType', 'digest', 'size', 'urls', 'annotations', 'data', 'platform', 'artifactType'];
const platformOrder = ['architecture', 'os', 'os.version', 'os.features', 'variant'];

/**
 * Makes another form of an image: layers unpacked, media types of OCI, fewer platforms. Resolves with the new target,
 * which is the old one when nothing was to be changed. Call it under a lease.
 */
export async function convertImage(door: Containerd, target: Descriptor, request: ConvertRequest): Promise<Descriptor> {
  const conversion = new Conversion(door, request);
  return (await conversion.convert(target)) ?? target;
}

type Labels = Record<string, string>;

class Conversion {
  readonly #door: Containerd;
  readonly #graph: ImageGraph;
  readonly #request: ConvertRequest;

  constructor(door: Containerd, request: ConvertRequest) {
    this.#door = door;
    this.#graph = new ImageGraph(door);
    this.#request = request;
  }

  /** The new descriptor, or undefined where the old one may stay. */
  async convert(old: Descriptor): Promise<Descriptor | undefined> {
    let made: Descriptor | undefined;
    if (isLayer(old.mediaType)) made = await this.#layer(old);
    else if (isManifest(old.mediaType)) made = await this.#manifest(old);
    else if (isIndex(old.mediaType)) made = await this.#index(old);
    if (!old.mediaType.startsWith(docker)) return made;
    const now = made ?? old;
    if (this.#request.toOci) return { ...now, mediaType: ociTypes[now.mediaType] ?? now.mediaType };
    // Docker's manifests know no annotations.
    if (now.annotations === undefined || Object.keys(now.annotations).length === 0) return made;
    const { annotations: _, ...rest } = now;
    return rest;
  }

  async #layer(old: Descriptor): Promise<Descriptor | undefined> {
    const { mediaType, digest } = old;
    if (!this.#request.uncompress || !/[.+](?:gzip|zstd)$/.test(mediaType)) return undefined;
    const { info } = await contents(this.#door).info({ digest });
    const { 'containerd.io/uncompressed': _, ...labels } = info?.labels ?? {};
    const unpack = mediaType.endsWith('zstd') ? createZstdDecompress() : createGunzip();
    const source = Readable.from(readBlob(this.#door, digest));
    source.on('error', (error) => unpack.destroy(error));
    const ref = `convert-uncompress-from-${digest}-${process.pid}`;
    const made = await writeBlob(this.#door, { ref, labels }, source.pipe(unpack));
    return { ...old, ...made, mediaType: mediaType.replace(/[.+](?:gzip|zstd)$/, '') };
  }

  async #manifest(old: Descriptor): Promise<Descriptor | undefined> {
    const manifest = await this.#graph.manifest(old.digest);
    const labels = await this.#labels(old.digest);
    let changed = this.#ociDocument(manifest);
    for (const [index, layer] of manifest.layers.entries()) {
      const made = await this.convert(layer);
      if (made === undefined) continue;
      relabel(labels, layer.digest, `containerd.io/gc.ref.content.l.${index}`, made.digest);
      manifest.layers[index] = made;
      changed = true;
    }
    const config = await this.convert(manifest.config);
    if (config !== undefined) {
      relabel(labels, manifest.config.digest, 'containerd.io/gc.ref.content.config', config.digest);
      manifest.config = config;
      changed = true;
    }
    return changed ? this.#write(manifest, old, labels) : undefined;
  }

  async #index(old: Descriptor): Promise<Descriptor | undefined> {
    const index = await this.#graph.index(old.digest);
    const labels = await this.#labels(old.digest);
    let changed = this.#ociDocument(index);
    const kept: Descriptor[] = [];
    for (const [place, manifest] of index.manifests.entries()) {
      if (!this.#wants(manifest)) {
        forget(labels, manifest.digest);
        changed = true;
        continue;
      }
      const made = await this.convert(manifest);
      if (made !== undefined) {
        relabel(labels, manifest.digest, `containerd.io/gc.ref.content.m.${place}`, made.digest);
        changed = true;
      }
      kept.push(made ?? manifest);
    }
    index.manifests = kept;
    return changed ? this.#write(index, old, labels) : undefined;
  }

  #wants({ platform }: Descriptor): boolean {
    const { platforms } = this.#request;
    if (platform === undefined || platforms.length === 0) return true;
    return platforms.some((wanted) => matchPlatform(wanted, platform) !== undefined);
  }

  #ociDocument(document: { mediaType?: string }): boolean {
    const type = this.#request.toOci ? ociTypes[document.mediaType ?? ''] : undefined;
    if (type === undefined) return false;
    document.mediaType = type;
    return true;
  }

  async #labels(digest: string): Promise<Labels> {
    return { ...(await contents(this.#door).info({ digest })).info?.labels };
  }

  async #write(document: object, old: Descriptor, labels: Labels): Promise<Descriptor> {
    const data = Buffer.from(goText(document));
    const digest = digestOf(data);
    const ref = `converter-write-json-${digest}`;
    await writeBlob(this.#door, { ref, size: data.length, digest, labels }, [data]);
    return { ...old, digest, size: data.length };
  }
}

function forget(labels: Labels, digest: string): void {
  for (const [key, value] of Object.entries(labels))
    if (value === digest && key.startsWith('containerd.io/gc.ref.content')) delete labels[key];
}

function relabel(labels: Labels, old: string, key: string, digest: string): void {
  forget(labels, old);
  labels[key] = digest;
}

/** JSON as Go writes it: known keys in their structs' order, maps sorted, `<`, `>` and `&` escaped. */
function goText(document: object): string {
  return JSON.stringify(ordered(document, documentOrder)).replace(
    /[<>&\u2028\u2029]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function ordered(value: object, order: readonly string[]): object {
  const rank = (key: string): number => (order.includes(key) ? order.indexOf(key) : order.length);
  const entries = Object.entries(value).sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, one]) => [key, inner(key, one)]));
}

function inner(key: string, value: unknown): unknown {
  if (Array.isArray(value))
    return value.map((one: unknown) => (typeof one === 'object' && one !== null ? ordered(one, descriptorOrder) : one));
  if (typeof value !== 'object' || value === null) return value;
  if (key === 'platform') return ordered(value, platformOrder);
  return ordered(value, key === 'annotations' ? [] : descriptorOrder);
}
