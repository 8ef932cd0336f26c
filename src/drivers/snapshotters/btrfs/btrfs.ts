import { chmod, mkdir, opendir, realpath, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { invalid, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { errnoOf } from '#base/threads.ts';
import type { Mount } from '#core/mounts.ts';
import type { Created, Layer, SnapshotDriver, SnapshotId, Usage } from '#core/snapshots.ts';
import { explainSpace, fileSystemOf } from '#sys/space.ts';
import { subvolumes } from '#sys/subvolumes.ts';
import { trees } from '#sys/trees.ts';

/** Each tree is a subvolume, `<root>/<id>`, that begins as a snapshot of its parent's: blocks are shared until written. */
export class BtrfsDriver implements SnapshotDriver {
  readonly #root: string;
  /** The block device that mounts name. */
  readonly #device: string;
  #serial = 0;

  private constructor(root: string, device: string) {
    this.#root = root;
    this.#device = device;
  }

  /** `skip` where `root` is on another file system. */
  static async start(
    root: string,
    logger: Logger,
    signal: AbortSignal,
  ): Promise<BtrfsDriver | { readonly skip: string }> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    const { type, source } = fileSystemOf(await realpath(root));
    // containerd's words.
    if (type !== 'btrfs')
      return { skip: `path ${root} (${type}) must be a btrfs filesystem to be used with the btrfs snapshotter` };
    const driver = new BtrfsDriver(root, source);
    await driver.#sweep(logger, signal);
    return driver;
  }

  async create(layer: Layer, signal: AbortSignal): Promise<Created> {
    signal.throwIfAborted();
    const place = this.#path(layer.id);
    if (await exists(place)) return { kind: 'empty' };
    const nearest = layer.parents[0];
    try {
      // A snapshot appears whole, by one transaction; taken means that somebody else was faster.
      if (nearest === undefined) await this.#makeEmpty(layer.id, signal);
      else await subvolumes.snapshot(this.#path(nearest), this.#root, layer.id, layer.readonly, signal);
    } catch (error) {
      throw signal.aborted ? error : explainSpace(error, this.#root, `making snapshot ${layer.id}`);
    }
    return { kind: 'empty' };
  }

  async seal(layer: Layer, signal: AbortSignal): Promise<Usage> {
    await subvolumes.seal(this.#path(layer.id), signal);
    return this.usage(layer, signal);
  }

  usage(layer: Layer, signal: AbortSignal): Promise<Usage> {
    const [nearest] = layer.parents;
    if (nearest === undefined) return trees.weigh(this.#path(layer.id), signal);
    return trees.weighDifference(this.#path(layer.id), this.#path(nearest), signal);
  }

  async mounts(layer: Layer, signal: AbortSignal): Promise<readonly Mount[]> {
    const id = await subvolumes.id(this.#path(layer.id), signal);
    const options = [`subvolid=${id}`, ...(layer.readonly ? ['ro'] : [])];
    return [{ type: 'btrfs', source: this.#device, options }];
  }

  sync(signal: AbortSignal): Promise<void> {
    return trees.sync(this.#root, signal);
  }

  async remove(id: SnapshotId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#path(id);
    await subvolumes.delete(this.#root, id, signal);
  }

  async *list(signal: AbortSignal): AsyncIterable<SnapshotId> {
    for await (const { name } of await opendir(this.#root)) {
      signal.throwIfAborted();
      if (/^[0-9]{1,19}$/.test(name)) yield name as SnapshotId;
    }
  }

  /** A new subvolume has the mode that our umask leaves it, so it gets its name when it has the right one. */
  async #makeEmpty(id: SnapshotId, signal: AbortSignal): Promise<void> {
    const temporary = `new-${id}-${process.pid}-${++this.#serial}`;
    await subvolumes.create(this.#root, temporary, signal);
    try {
      await chmod(path.join(this.#root, temporary), 0o755);
      await rename(path.join(this.#root, temporary), this.#path(id));
    } catch (error) {
      await subvolumes.delete(this.#root, temporary, AbortSignal.timeout(60_000));
      if (!['EEXIST', 'ENOTEMPTY'].includes(errnoOf(error) ?? '')) throw error;
    }
  }

  /** What was half made when the machine stopped. */
  async #sweep(logger: Logger, signal: AbortSignal): Promise<void> {
    for await (const { name } of await opendir(this.#root)) {
      if (!name.startsWith('new-')) continue;
      try {
        await subvolumes.delete(this.#root, name, signal);
      } catch (error) {
        logger.log('warn', 'cannot remove what an interrupted snapshot left', { name, reason: messageOf(error) });
      }
    }
  }

  #path(id: SnapshotId): string {
    if (!/^[0-9]{1,19}$/.test(id)) throw invalid(`snapshot id "${id}": want a decimal number`);
    return path.join(this.#root, id);
  }
}

async function exists(place: string): Promise<boolean> {
  try {
    await stat(place);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}
