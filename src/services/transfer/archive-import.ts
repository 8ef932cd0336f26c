import type { Call } from '#base/call.ts';
import { HakoError, invalid } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { Archives } from '#core/archives.ts';
import type { Descriptor, Image } from '#core/images.ts';
import type { SnapshotDriver } from '#core/snapshots.ts';
import type { Content } from '../content.ts';
import type { Images } from '../images.ts';
import { setLabels } from '../pull-fetch.ts';
import { samePlatform } from '../pull-choice.ts';
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
} from '../pull-manifest.ts';
import type { UnpackTarget } from '../pull-options.ts';
import type { Unpacker } from '../pull-unpack.ts';
import { readArchive, type ArchiveFiles } from './archive-reader.ts';
import { indexDockerArchive } from './docker-archive.ts';
import type { ImportEnd, StoreEnd } from './ends.ts';
import { namesInArchive, namesOf, storeNames } from './image-names.ts';

export interface ImporterParts {
  readonly content: Content;
  readonly images: Images;
  readonly archives: Archives;
  readonly unpacker: Pick<Unpacker, 'unpack'>;
  /** By name: what was unpacked is synced there before the images have names. */
  readonly drivers: ReadonlyMap<string, Pick<SnapshotDriver, 'sync'>>;
  readonly defaultSnapshotter: string;
  readonly logger: Logger;
}

/** An index may lead to an index, but not for ever. */
const maxDepth = 4;

const fault = (message: string): HakoError => new HakoError('unknown', message);

/** Brings the images of an archive into the store: OCI layouts, and what `docker save` writes. */
export class Importer {
  readonly #parts: ImporterParts;

  constructor(parts: ImporterParts) {
    this.#parts = parts;
  }

  /** Names images only when everything is here, and unpacked. What it makes is held by the call's lease. */
  async import(
    call: Call,
    source: ImportEnd,
    store: StoreEnd,
    saved: (image: Image, target: Descriptor) => void,
  ): Promise<void> {
    const { content, images, archives, drivers } = this.#parts;
    await using archive = archives.read(source.bytes, { compressed: source.compressed }, call.signal);
    const files = await readArchive(content, call, archive);
    const index = await this.#index(call, files, source.forceCompress);
    const walk = new ImportWalk(this.#parts, call, store);
    await walk.run(index);
    for (const snapshotter of walk.snapshotters) await drivers.get(snapshotter)?.sync?.(call.signal);

    const named: [Descriptor, readonly string[]][] = [[index, namesOf(store, index)]];
    for (const child of walk.children) named.push([child, namesInArchive(store, child)]);
    for (const [target, names] of named) {
      // An archive may hold what nobody asked to have a name for.
      if (names.length === 0) continue;
      for (const image of await storeNames(images, call, store, names, target)) saved(image, target);
    }
  }

  async #index(call: Call, files: ArchiveFiles, forceCompress: boolean): Promise<Descriptor> {
    const version = (files.layout as { imageLayoutVersion?: unknown } | null | undefined)?.imageLayoutVersion;
    if (typeof version === 'string' && version !== '') {
      if (version !== '1.0.0') throw fault(`unsupported OCI version ${version.slice(0, 64)}`);
      const index = files.blobs.get('index.json');
      if (index === undefined) throw fault(`missing index.json in OCI layout ${version}`);
      return { mediaType: 'application/vnd.oci.image.index.v1+json', ...index };
    }
    if (files.dockerManifest === undefined || files.dockerManifest === null) throw fault('unrecognized image format');
    return indexDockerArchive(this.#parts, call, files, forceCompress);
  }
}

/** What a store wants unpacked, of what can be. invalid-argument when it wants only what cannot. */
export function unpacksOf(store: StoreEnd, drivers: ReadonlyMap<string, unknown>): readonly UnpackTarget[] {
  const can = store.unpacks.filter(({ snapshotter = '' }) => snapshotter === '' || drivers.has(snapshotter));
  if (can.length > 0 || store.unpacks.length === 0) return can;
  throw invalid('unable to initialize unpacker: no unpack platforms defined: invalid argument');
}

/** One walk from an archive's index down: labels that hold, and trees that are unpacked. */
class ImportWalk {
  readonly #parts: ImporterParts;
  readonly #call: Call;
  readonly #store: StoreEnd;
  readonly #snapshotter: string | undefined;
  readonly snapshotters = new Set<string>();
  /** What the archive's own index names. */
  children: readonly Descriptor[] = [];
  #found = false;

  constructor(parts: ImporterParts, call: Call, store: StoreEnd) {
    this.#parts = parts;
    this.#call = call;
    this.#store = store;
    // As containerd has it, every image that is taken is unpacked, whatever its platform.
    const [unpack] = unpacksOf(store, parts.drivers);
    const { snapshotter = '' } = unpack ?? {};
    if (unpack !== undefined) this.#snapshotter = snapshotter === '' ? parts.defaultSnapshotter : snapshotter;
  }

  async run(index: Descriptor): Promise<void> {
    const children = parseIndex(index, await this.#read(index));
    await this.#hold(index, children);
    this.children = children;
    const wanted = this.#chosen(children);
    this.#found = wanted.length > 0;
    for (const child of wanted) await this.#walk(child, 1);
    // Those get names as well, so they must last: but whether they are whole was not asked.
    for (const child of children) if (!wanted.includes(child)) await this.#keep(child, 1);
    if (!this.#found) throw fault('image might be filtered out');
  }

  async #walk(target: Descriptor, depth: number): Promise<void> {
    this.#call.signal.throwIfAborted();
    if (depth > maxDepth) throw fault(`more than ${maxDepth} indexes, one inside the other`);
    if (isIndex(target)) {
      const children = parseIndex(target, await this.#read(target));
      await this.#hold(target, children);
      for (const child of this.#chosen(children)) await this.#walk(child, depth + 1);
    } else if (isManifest(target)) {
      const { config, layers } = parseManifest(target, await this.#read(target));
      await this.#hold(target, [config, ...layers]);
      if (this.#isForeign(target)) this.#require([config]);
      else {
        this.#require([config, ...layers]);
        await this.#unpack(config, layers.filter(isLayer));
      }
    }
  }

  /** Holds what is here below a target that was not chosen. */
  async #keep(target: Descriptor, depth: number): Promise<void> {
    const here = this.#parts.content.find(this.#call, target.digest) !== undefined;
    if (!here || depth > maxDepth || (!isIndex(target) && !isManifest(target))) return;
    const bytes = await this.#read(target);
    const manifest = isManifest(target) ? parseManifest(target, bytes) : undefined;
    const children = manifest === undefined ? parseIndex(target, bytes) : [manifest.config, ...manifest.layers];
    await this.#hold(target, children);
    for (const child of children) await this.#keep(child, depth + 1);
  }

  #chosen(children: readonly Descriptor[]): Descriptor[] {
    const { allMetadata, manifestLimit } = this.#store;
    const wanted = children.filter((child) => allMetadata || this.#isWanted(child));
    if (manifestLimit === 0) return wanted;
    if (wanted.length === 0) throw new HakoError('not-found', 'no match for platform in manifest: not found');
    return wanted.toSorted((one, other) => this.#place(one) - this.#place(other)).slice(0, manifestLimit);
  }

  #isWanted({ platform }: Descriptor): boolean {
    const { platforms } = this.#store;
    return platforms.length === 0 || platform === undefined || platforms.some((one) => samePlatform(one, platform));
  }

  #isForeign(target: Descriptor): boolean {
    return this.#store.allMetadata && !this.#isWanted(target);
  }

  #place({ platform }: Descriptor): number {
    if (platform === undefined) return Number.MAX_SAFE_INTEGER;
    return this.#store.platforms.findIndex((one) => samePlatform(one, platform));
  }

  /** Layers that may not be given on are allowed to be elsewhere. */
  #require(children: readonly Descriptor[]): void {
    for (const { digest, mediaType } of children) {
      const elsewhere = /\.(?:nondistributable|foreign)\./.test(mediaType);
      if (!elsewhere) this.#parts.content.info(this.#call, digest);
    }
  }

  async #unpack(config: Descriptor, layers: readonly Descriptor[]): Promise<void> {
    const { content, unpacker } = this.#parts;
    const snapshotter = this.#snapshotter;
    if (snapshotter === undefined || layers.length === 0 || !isConfig(config)) return;
    const { diffIds } = parseConfig(config, await this.#read(config));
    if (diffIds.length !== layers.length)
      throw fault(`number of layers and diffIDs don't match: ${layers.length} != ${diffIds.length}`);
    const top = await unpacker.unpack(
      this.#call,
      snapshotter,
      layers.map((descriptor, at) => ({
        descriptor,
        diffId: diffIds[at]!,
        fetched: Promise.resolve(),
        started: () => {},
        progress: () => {},
        finished: () => {},
      })),
    );
    this.snapshotters.add(snapshotter);
    const { labels } = content.info(this.#call, config.digest);
    await setLabels(content, this.#call, config.digest, labels, {
      [`containerd.io/gc.ref.snapshot.${snapshotter}`]: top,
    });
  }

  #read(target: Descriptor): Promise<Uint8Array> {
    return this.#parts.content.readAll(this.#call, target.digest, maxJson);
  }

  async #hold(parent: Descriptor, children: readonly Descriptor[]): Promise<void> {
    const { content } = this.#parts;
    const { labels } = content.info(this.#call, parent.digest);
    await setLabels(content, this.#call, parent.digest, labels, referenceLabels(children));
  }
}
