import type { Call } from '#base/call.ts';
import { codeOf, invalid } from '#base/errors.ts';
import { silent, type Logger } from '#base/log.ts';
import { formatReference, normalizeReference } from '#base/reference.ts';
import { Slots } from '#base/slots.ts';
import type { Labels } from '#core/any.ts';
import type { Descriptor, Image } from '#core/images.ts';
import type { Registry } from '#core/registry.ts';
import type { SnapshotDriver } from '#core/snapshots.ts';
import type { Content } from './content.ts';
import type { Diffs } from './diffs.ts';
import type { Images } from './images.ts';
import type { Leases } from './leases.ts';
import { Fetcher, setLabels } from './pull-fetch.ts';
import { mayMend, PullLeases, type PullLease } from './pull-lease.ts';
import type { PullOptions, PullProgress } from './pull-options.ts';
import { PullTree, type Pull, type Unpacked } from './pull-tree.ts';
import { Unpacker } from './pull-unpack.ts';
import type { Snapshots } from './snapshots.ts';

export type { ObjectProgress, PullOptions, PullProgress, UnpackTarget } from './pull-options.ts';

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

/** Brings images from registries: whole, or not at all. Equal layers are fetched once however many ask. */
export class Pulls {
  readonly #parts: PullsParts;
  readonly #leases: PullLeases;
  readonly #fetcher: Fetcher;
  readonly #unpacker: Unpacker;

  constructor(parts: PullsParts) {
    this.#parts = parts;
    const logger = parts.logger ?? silent;
    this.#leases = new PullLeases(parts.leases, logger);
    this.#fetcher = new Fetcher(parts);
    this.#unpacker = new Unpacker({ ...parts, logger });
  }

  /**
   * Fetches, unpacks and then names the image; gives it by its first name. A failure that time may mend (registry down,
   * caller gone, daemon killed) keeps what was downloaded for a day, and the same pull goes on from there; any other
   * leaves nothing behind that was not there before.
   */
  async pull(
    call: Call,
    reference: string,
    options: PullOptions,
    progress: (event: PullProgress) => void,
  ): Promise<Image> {
    const parsed = normalizeReference(reference);
    const name = formatReference(parsed);
    const names = options.names ?? [name];
    if (names.length === 0) throw invalid(`image "${name}": no name to store it under`);
    const began = performance.now();
    const target = await this.#parts.registry.resolve(name, options, call.signal);
    const resolve = performance.now() - began;
    progress({ kind: 'resolved', target });

    const lease = await this.#leases.open(call, name);
    try {
      const stop = new AbortController();
      const tree = new PullTree({ ...this.#parts, fetcher: this.#fetcher, unpacker: this.#unpacker }, {
        call: { ...call, lease: lease.id, signal: AbortSignal.any([call.signal, stop.signal]) },
        name,
        source: { reference: name, domain: parsed.domain, path: parsed.path, options },
        options,
        slots: new Slots(Math.max(1, options.maxDownloads ?? this.#parts.maxDownloads ?? 3)),
        tell: progress,
        stop,
      } satisfies Pull);
      const { unpacked, ...times } = await tree.run(target);
      const image = await this.#name(call, lease, target, unpacked, names, options, progress);
      await lease.finish();
      progress({ kind: 'timing', resolve, ...times });
      return image;
    } catch (error) {
      await (mayMend(error) ? lease.keep() : lease.drop());
      call.signal.throwIfAborted();
      throw error;
    }
  }

  /** Lets go of trees that a kill has left unsynced, in one namespace. Needed at each start, before anybody may call. */
  recover(call: Call): Promise<void> {
    return this.#leases.recover(call);
  }

  /** Gives up what unfinished pulls of this namespace have downloaded. */
  forget(call: Call): Promise<void> {
    return this.#leases.forget(call);
  }

  /** Last of all: who lists the image finds it whole. */
  async #name(
    call: Call,
    lease: PullLease,
    target: Descriptor,
    unpacked: readonly Unpacked[],
    names: readonly string[],
    { labels = {}, syncFs = true, platforms }: PullOptions,
    progress: (event: PullProgress) => void,
  ): Promise<Image> {
    // A power cut from here on finds the trees on disk; one before it finds no image, and `recover` drops the trees.
    const snapshotters = syncFs ? new Set(unpacked.map(({ snapshotter }) => snapshotter)) : [];
    for (const snapshotter of snapshotters) await this.#parts.drivers.get(snapshotter)?.sync?.(call.signal);
    for (const one of unpacked) await this.#holdSnapshot(call, one);
    await lease.handOver();
    const images: Image[] = [];
    // containerd's clients say what the labels are, Docker's add to them.
    const paths = platforms === undefined ? ['target', ...Object.keys(labels).map((key) => `labels.${key}`)] : [];
    for (const name of names) {
      const image = await this.#store(call, { name, target, labels }, paths);
      images.push(image);
      progress({ kind: 'saved', image });
    }
    return images[0]!;
  }

  /** The config holds the snapshot, as containerd has it: whoever deletes the image lets go of both. */
  async #holdSnapshot(call: Call, { config, snapshotter, top }: Unpacked): Promise<void> {
    const { content } = this.#parts;
    const key = `containerd.io/gc.ref.snapshot.${snapshotter}`;
    await setLabels(content, call, config.digest, content.info(call, config.digest).labels, { [key]: top });
  }

  async #store(
    call: Call,
    image: { name: string; target: Descriptor; labels: Labels },
    paths: readonly string[],
  ): Promise<Image> {
    const { images } = this.#parts;
    for (;;) {
      try {
        return await images.update(call, image, paths);
      } catch (error) {
        if (codeOf(error) !== 'not-found') throw error;
      }
      try {
        return await images.create(call, image);
      } catch (error) {
        // Another pull of the same name was faster.
        if (codeOf(error) !== 'already-exists') throw error;
      }
    }
  }
}
