import type { Call } from '#base/call.ts';
import { parseDigest } from '#base/digest.ts';
import { HakoError, invalid } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { hostPlatform } from '#base/platforms.ts';
import { familiar, formatReference, normalizeReference } from '#base/reference.ts';
import type { Archives, NewArchiveEntry } from '#core/archives.ts';
import type { Descriptor, Digest, Image } from '#core/images.ts';
import type { Content } from '../content.ts';
import { samePlatform } from '../pull-choice.ts';
import { isIndex, isManifest, maxJson, parseIndex, parseManifest } from '../pull-manifest.ts';
import { indexDocument, written } from './documents.ts';
import type { ExportOptions } from './ends.ts';
import { imageNameAnnotation, ociReference, reasonOf, refNameAnnotation } from './image-names.ts';

export interface ExporterParts {
  readonly content: Content;
  readonly archives: Archives;
  readonly logger: Logger;
}

const sourcePrefix = 'containerd.io/distribution.source';
const chunkSize = 64 * 1024;
/** An index may lead to an index, but not for ever. */
const maxDepth = 4;

/** Writes images into archives that OCI's tools and Docker's both read. */
export class Exporter {
  readonly #parts: ExporterParts;

  constructor(parts: ExporterParts) {
    this.#parts = parts;
  }

  /**
   * The bytes of an archive with these images. Looks at everything first: what is missing fails before the first byte.
   * The call's lease, or the images, must hold their content until the last one.
   */
  async export(call: Call, images: readonly Image[], options: ExportOptions): Promise<AsyncIterable<Uint8Array>> {
    const plan = new ExportPlan(this.#parts, call, options);
    for (const image of images) await plan.add(image);
    const entries = await plan.entries();
    return this.#parts.archives.write(entries, call.signal);
  }
}

/** A manifest that Docker's own list tells of, under these names. */
interface Listed {
  readonly manifest: Descriptor;
  readonly names: string[];
}

class ExportPlan {
  readonly #parts: ExporterParts;
  readonly #call: Call;
  readonly #options: ExportOptions;
  readonly #blobs = new Map<Digest, Descriptor>();
  readonly #targets: Descriptor[] = [];
  readonly #listed = new Map<Digest, Listed>();
  /** By the digest of an index: which of its manifests Docker would take. */
  readonly #resolved = new Map<Digest, Digest>();
  readonly #algorithms = new Set<string>();

  constructor(parts: ExporterParts, call: Call, options: ExportOptions) {
    this.#parts = parts;
    this.#call = call;
    this.#options = options;
  }

  async add({ name, target: { mediaType, digest, size, annotations } }: Image): Promise<void> {
    const info = this.#parts.content.find(this.#call, digest);
    if (info === undefined) {
      this.#parts.logger.log('warn', 'an image whose content is gone was not exported', { image: name, digest });
      return;
    }
    const sources = Object.entries(info.labels).filter(([key]) => key.startsWith(sourcePrefix));
    const named = { [imageNameAnnotation]: name, [refNameAnnotation]: ociReference(name) };
    const target = {
      mediaType,
      digest,
      size,
      annotations: { ...annotations, ...named, ...Object.fromEntries(sources) },
    };
    this.#targets.push(target);
    if (isManifest(target)) {
      if (!this.#listed.has(digest)) await this.#take(target, 0);
      this.#list(target, name);
    } else if (isIndex(target)) {
      if (!this.#resolved.has(digest)) await this.#takeIndex(target);
      const chosen = this.#listed.get(this.#resolved.get(digest) ?? '');
      chosen?.names.push(name);
    } else {
      throw invalid('only manifests may be exported: invalid argument');
    }
  }

  /** In the order of their names, as containerd writes them. */
  async entries(): Promise<NewArchiveEntry[]> {
    const { skipNonDistributable, skipDockerManifest } = this.#options;
    const entries = [file('oci-layout', 0o444, written({ imageLayoutVersion: '1.0.0' }))];
    entries.push(file('index.json', 0o644, indexDocument(this.#targets, 'application/vnd.oci.image.index.v1+json')));
    if (!skipDockerManifest && this.#listed.size > 0)
      entries.push(file('manifest.json', 0o644, written(await this.#dockerManifest())));
    if (this.#algorithms.size > 0) entries.push(directory('blobs/'));
    for (const algorithm of this.#algorithms) entries.push(directory(`blobs/${algorithm}/`));
    for (const blob of this.#blobs.values()) {
      if (skipNonDistributable && isNonDistributable(blob)) continue;
      if (this.#parts.content.find(this.#call, blob.digest) === undefined)
        throw new HakoError('not-found', `failed to get reader: content digest ${blob.digest}: not found`);
      entries.push(this.#blobFile(blob));
    }
    return entries.toSorted((one, other) => Buffer.compare(Buffer.from(one.name), Buffer.from(other.name)));
  }

  #list(manifest: Descriptor, name: string): void {
    const listed = this.#listed.get(manifest.digest);
    if (listed === undefined) this.#listed.set(manifest.digest, { manifest, names: [name] });
    else listed.names.push(name);
  }

  async #takeIndex(index: Descriptor): Promise<void> {
    this.#blobs.set(index.digest, index);
    const { platforms, allPlatforms } = this.#options;
    const wanted = platforms.length === 0 ? [hostPlatform()] : platforms;
    const place = ({ platform }: Descriptor): number =>
      platform === undefined ? wanted.length : wanted.findIndex((one) => samePlatform(one, platform));
    const matching: Descriptor[] = [];
    for (const child of parseIndex(index, await this.#read(index))) {
      if (place(child) >= 0) matching.push(child);
      else if (!allPlatforms) continue;
      await this.#take(child, 1);
    }
    const [best] = matching.toSorted((one, other) => place(one) - place(other));
    if (best === undefined) throw new HakoError('not-found', 'no manifest found for platform: not found');
    this.#resolved.set(index.digest, best.digest);
    this.#listed.set(best.digest, { manifest: best, names: [] });
  }

  /** Everything that a descriptor leads to. */
  async #take(target: Descriptor, depth: number): Promise<void> {
    const { content } = this.#parts;
    if (depth > maxDepth) throw invalid(`more than ${maxDepth} indexes, one inside the other`);
    let children: readonly Descriptor[] = [];
    if (isManifest(target) || isIndex(target)) {
      const here = content.find(this.#call, target.digest) !== undefined;
      if (!here && this.#options.skipMissing === true) return;
      children = await this.#children(target);
    }
    this.#algorithms.add(parseDigest(target.digest).algorithm);
    this.#blobs.set(target.digest, target);
    for (const child of children) await this.#take(child, depth + 1);
  }

  async #children(target: Descriptor): Promise<readonly Descriptor[]> {
    const bytes = await this.#read(target);
    if (isIndex(target)) return parseIndex(target, bytes);
    const { config, layers } = parseManifest(target, bytes);
    const children = [config, ...layers];
    const { content } = this.#parts;
    const missing = children.some(({ digest }) => content.find(this.#call, digest) === undefined);
    return missing && this.#options.skipMissing === true ? [] : children;
  }

  async #dockerManifest(): Promise<object[]> {
    const list: object[] = [];
    for (const { manifest, names } of this.#listed.values()) {
      // A manifest that was left out because it is missing is no image for Docker either.
      if (!this.#blobs.has(manifest.digest) || !isManifest(manifest)) continue;
      const { config, layers } = parseManifest(manifest, await this.#read(manifest));
      list.push({
        Config: pathOf(config.digest),
        RepoTags: names.length === 0 ? null : names.map(repoTag),
        Layers: layers.length === 0 ? null : layers.map(({ digest }) => pathOf(digest)),
      });
    }
    return list;
  }

  #blobFile({ digest, size }: Descriptor): NewArchiveEntry {
    const { archives } = this.#parts;
    const content = (): AsyncIterable<Uint8Array> => archives.verify(this.#bytesOf(digest), digest, this.#call.signal);
    return { kind: 'file', name: pathOf(digest), mode: 0o444, size, content };
  }

  async *#bytesOf(digest: Digest): AsyncGenerator<Uint8Array> {
    const { signal } = this.#call;
    await using blob = await this.#parts.content.open(this.#call, digest);
    for (let offset = 0; offset < blob.size;) {
      const piece = await blob.read(offset, Math.min(chunkSize, blob.size - offset), signal);
      if (piece.length === 0)
        throw new HakoError('data-loss', `content ${digest} ends after ${offset} of ${blob.size} bytes: pull it again`);
      yield piece;
      offset += piece.length;
    }
  }

  #read(target: Descriptor): Promise<Uint8Array> {
    return this.#parts.content.readAll(this.#call, target.digest, maxJson);
  }
}

const isNonDistributable = ({ mediaType }: Descriptor): boolean =>
  mediaType.startsWith('application/vnd.oci.image.layer.nondistributable.') ||
  mediaType.startsWith('application/vnd.docker.image.rootfs.foreign.');

const pathOf = (digest: Digest): string => {
  const { algorithm, hex } = parseDigest(digest);
  return `blobs/${algorithm}/${hex}`;
};

const directory = (name: string): NewArchiveEntry => ({ kind: 'directory', name, mode: 0o755, size: 0 });

function file(name: string, mode: number, bytes: Uint8Array): NewArchiveEntry {
  const content = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes;
  };
  return { kind: 'file', name, mode, size: bytes.length, content };
}

function repoTag(name: string): string {
  try {
    return familiar(formatReference(normalizeReference(name)));
  } catch (error) {
    throw new HakoError(
      'unknown',
      `unable to create manifests file: failed to parse ${JSON.stringify(name)}: ${reasonOf(error, name)}`,
      error,
    );
  }
}
