import { randomUUID } from 'node:crypto';
import { cleanupSignal, type Call } from '#base/call.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Archives } from '#core/archives.ts';
import type { Image } from '#core/images.ts';
import type { SnapshotDriver } from '#core/snapshots.ts';
import type { Content } from '../content.ts';
import type { Diffs } from '../diffs.ts';
import type { Images } from '../images.ts';
import type { Leases } from '../leases.ts';
import { Unpacker } from '../pull-unpack.ts';
import type { Pulls } from '../pull.ts';
import type { Pushes } from '../push.ts';
import type { Snapshots } from '../snapshots.ts';
import { Exporter } from './archive-export.ts';
import { Importer } from './archive-import.ts';
import type {
  ExportEnd,
  ExportOptions,
  ImportEnd,
  RegistryEnd,
  StoreEnd,
  TransferEnd,
  TransferProgress,
} from './ends.ts';
import { namesOf, storeNames } from './image-names.ts';
import { pullFromRegistry } from './registry-pull.ts';
import { ObjectTeller } from './transfer-progress.ts';

export interface TransfersParts {
  readonly pulls: Pulls;
  readonly pushes: Pushes;
  readonly content: Content;
  readonly images: Images;
  readonly leases: Leases;
  readonly snapshots: Snapshots;
  readonly diffs: Pick<Diffs, 'apply'>;
  readonly drivers: ReadonlyMap<string, Pick<SnapshotDriver, 'sync'>>;
  readonly defaultSnapshotter: string;
  readonly archives: Archives;
  readonly logger?: Logger;
}

type Tell = (progress: TransferProgress) => void;

/** Marks the leases of imports and exports, so that a start finds those that a kill has left. */
const transferLabel = 'hakobune.io/transfer';
/** Should nobody delete it, such a lease ends by itself after a day. */
const leaseLife = 24 * 60 * 60 * 1000;

/** Moves images: between registry, store and archive. What may be moved where is here; what moves it is not. */
export class Transfers {
  readonly #parts: TransfersParts;
  readonly #logger: Logger;
  readonly #importer: Importer;
  readonly #exporter: Exporter;

  constructor(parts: TransfersParts) {
    this.#parts = parts;
    this.#logger = parts.logger ?? silent;
    this.#importer = new Importer({
      ...parts,
      logger: this.#logger,
      unpacker: new Unpacker({ ...parts, logger: this.#logger }),
    });
    this.#exporter = new Exporter({ ...parts, logger: this.#logger });
  }

  /** unimplemented when this source does not go to that destination. */
  async transfer(call: Call, from: TransferEnd, to: TransferEnd, tell: Tell): Promise<void> {
    if (from.kind === 'registry' && to.kind === 'store') return pullFromRegistry(this.#parts, call, from, to, tell);
    if (from.kind === 'store' && to.kind === 'registry') return this.#push(call, from, to, tell);
    if (from.kind === 'store' && to.kind === 'export') return this.#export(call, from, to, tell);
    if (from.kind === 'store' && to.kind === 'store') return this.#tag(call, from, to);
    if (from.kind === 'import' && to.kind === 'store') return this.#import(call, from, to, tell);
    if (from.kind === 'import' && to.kind === 'export') return echo(from, to);
    throw new HakoError('unimplemented', `unable to transfer from ${from.kind} to ${to.kind}: not implemented`);
  }

  /** An archive of these images. What it is made of is held until the last byte was read, or the reader leaves. */
  async *exportImages(call: Call, images: readonly Image[], options: ExportOptions): AsyncGenerator<Uint8Array> {
    const { leases } = this.#parts;
    await using lease = await this.#lease(call);
    for (const { target } of images) await leases.addResource(call, lease.id, { type: 'content', id: target.digest });
    yield* await this.#exporter.export(call, images, options);
    lease.done();
  }

  /** Brings in the images of an archive; gives what they are called. */
  async importImages(call: Call, from: ImportEnd, to: StoreEnd): Promise<Image[]> {
    const images: Image[] = [];
    await this.#leased(call, (inner) => this.#importer.import(inner, from, to, (image) => images.push(image)));
    return images;
  }

  /** Lets go of what transfers that a kill has ended have left, in one namespace. Before anybody may call. */
  async recover(call: Call): Promise<void> {
    for (const { id } of this.#parts.leases.list(call, [`labels."${transferLabel}"`]))
      await this.#parts.leases.delete(call, id, { sync: false });
  }

  async #push(call: Call, from: StoreEnd, to: RegistryEnd, tell: Tell): Promise<void> {
    const { name, target } = this.#parts.images.get(call, from.name);
    const shown = `OCI Registry (${to.reference})`;
    tell({ event: `Pushing to ${shown}` });
    tell({ event: 'pushing content', name, target });
    using objects = new ObjectTeller(tell);
    const options = { ...to.options, image: name, ...(from.platforms.length > 0 && { platforms: from.platforms }) };
    await this.#parts.pushes.push(call, to.reference, options, (event) => objects.uploaded(event));
    tell({ event: 'pushed content', name, target });
    tell({ event: `Completed push to ${shown}`, target });
    objects.flush();
  }

  async #tag(call: Call, from: StoreEnd, to: StoreEnd): Promise<void> {
    const { target } = this.#parts.images.get(call, from.name);
    await storeNames(this.#parts.images, call, to, namesOf(to, target), target);
  }

  async #import(call: Call, from: ImportEnd, to: StoreEnd, tell: Tell): Promise<void> {
    tell({ event: 'Importing' });
    await this.#leased(call, (inner) =>
      this.#importer.import(inner, from, to, ({ name }, target) => tell({ event: 'saved', name, target })),
    );
    tell({ event: 'Completed import' });
  }

  async #export(call: Call, from: StoreEnd, to: ExportEnd, tell: Tell): Promise<void> {
    tell({ event: 'Exporting' });
    const { images } = this.#parts;
    const found = from.name === '' ? [] : [images.get(call, from.name)];
    for (const { name, isPrefix } of from.references) {
      if (isPrefix) throw new HakoError('unimplemented', 'prefix lookup on export not implemented: not implemented');
      found.push(images.get(call, name));
    }
    for await (const piece of this.exportImages(call, found, to)) await to.write(piece);
    tell({ event: 'Completed export' });
  }

  /**
   * Works under a lease of our own, whose things the caller's gets at the end. When the work fails, what it made is gone
   * from disk, even where the caller has left its lease behind. not-found when the caller's lease is none.
   */
  async #leased(call: Call, work: (call: Call) => Promise<void>): Promise<void> {
    const { leases } = this.#parts;
    if (call.lease !== undefined) leases.resources(call, call.lease);
    await using lease = await this.#lease(call);
    await work({ ...call, lease: lease.id });
    if (call.lease !== undefined)
      for (const resource of leases.resources(call, lease.id)) await leases.addResource(call, call.lease, resource);
    lease.done();
  }

  /** A lease for as long as the scope lasts. */
  async #lease(call: Call): Promise<AsyncDisposable & { readonly id: string; done(): void }> {
    const { leases } = this.#parts;
    const { id } = await leases.create(call, '', {
      'containerd.io/gc.expire': new Date(Date.now() + leaseLife).toISOString(),
      [transferLabel]: randomUUID(),
    });
    let done = false;
    const end = async (): Promise<void> => {
      try {
        await leases.delete({ namespace: call.namespace, signal: cleanupSignal() }, id, { sync: !done });
      } catch (error) {
        // The caller is told how the transfer went; the lease ends by itself.
        if (codeOf(error) !== 'not-found')
          this.#logger.log('warn', 'the lease of a transfer was left', { lease: id, error: messageOf(error) });
      }
    };
    return { id, done: () => void (done = true), [Symbol.asyncDispose]: end };
  }
}

/** An archive in, the same bytes out. */
async function echo(from: ImportEnd, to: ExportEnd): Promise<void> {
  for await (const piece of from.bytes) await to.write(piece);
}
