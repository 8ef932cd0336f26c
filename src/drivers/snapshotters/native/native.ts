import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from '#base/log.ts';
import type { Mount } from '#core/mounts.ts';
import type { Created, Layer, SnapshotDriver, SnapshotId, Usage } from '#core/snapshots.ts';
import { trees } from '#sys/trees.ts';
import { LayerDirectories } from '../layers.ts';

/**
 * Each tree is a whole copy of its parent, `<root>/<id>/fs`. Slow and large, but it works on any file system; where that
 * shares blocks between files (btrfs, XFS), copies cost little.
 */
export class NativeDriver implements SnapshotDriver {
  readonly #directories: LayerDirectories;

  private constructor(directories: LayerDirectories) {
    this.#directories = directories;
  }

  static async start(root: string, logger: Logger, signal: AbortSignal): Promise<NativeDriver> {
    return new NativeDriver(await LayerDirectories.open(root, logger, signal));
  }

  async create(layer: Layer, signal: AbortSignal): Promise<Created> {
    const nearest = layer.parents[0];
    await this.#directories.make(layer.id, signal, async (directory) => {
      const tree = path.join(directory, 'fs');
      // A view shows its parent's own tree, which does not change any more.
      if (nearest !== undefined && !layer.readonly) {
        await trees.copy(this.#directories.path(nearest, 'fs'), tree, signal);
      } else {
        await mkdir(tree);
        await chmod(tree, 0o755);
      }
    });
    return { kind: 'empty' };
  }

  seal(layer: Layer, signal: AbortSignal): Promise<Usage> {
    return this.usage(layer, signal);
  }

  usage(layer: Layer, signal: AbortSignal): Promise<Usage> {
    return trees.weigh(this.#directories.path(layer.id, 'fs'), signal);
  }

  async mounts(layer: Layer, _signal: AbortSignal): Promise<readonly Mount[]> {
    const nearest = layer.parents[0];
    const source = this.#directories.path(layer.readonly && nearest !== undefined ? nearest : layer.id, 'fs');
    return [{ type: 'bind', source, options: ['rbind', layer.readonly ? 'ro' : 'rw'] }];
  }

  sync(signal: AbortSignal): Promise<void> {
    return trees.sync(this.#directories.root, signal);
  }

  remove(id: SnapshotId, signal: AbortSignal): Promise<void> {
    return this.#directories.remove(id, signal);
  }

  list(signal: AbortSignal): AsyncIterable<SnapshotId> {
    return this.#directories.list(signal);
  }
}
