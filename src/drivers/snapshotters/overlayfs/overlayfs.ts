import { chmod, chown, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from '#base/log.ts';
import type { Mount } from '#core/mounts.ts';
import type { Created, Layer, SnapshotDriver, SnapshotId, Usage } from '#core/snapshots.ts';
import { bytesOf } from '#sys/at.ts';
import { copyXattrs } from '#sys/copy.ts';
import { trees } from '#sys/trees.ts';
import { LayerDirectories } from '../layers.ts';
import { probeOverlay } from './probe.ts';

const bind = (source: string, readonly: boolean): Mount => ({
  type: 'bind',
  source,
  options: [readonly ? 'ro' : 'rw', 'rbind'],
});

/** Marks of overlayfs itself say something about one directory only and are never inherited. */
const isOverlayMark = (name: string): boolean =>
  name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');

/** Each layer holds only its difference, `<root>/<id>/fs`; the kernel shows them as one tree. */
export class OverlayfsDriver implements SnapshotDriver {
  readonly #directories: LayerDirectories;
  readonly #options: readonly string[];

  private constructor(directories: LayerDirectories, options: readonly string[]) {
    this.#directories = directories;
    this.#options = options;
  }

  /** `skip` where the kernel or the file system of `root` cannot do it. */
  static async start(
    root: string,
    mountOptions: readonly string[],
    logger: Logger,
    signal: AbortSignal,
  ): Promise<OverlayfsDriver | { readonly skip: string }> {
    const directories = await LayerDirectories.open(root, logger, signal);
    const probed = probeOverlay(root, mountOptions);
    return 'skip' in probed ? probed : new OverlayfsDriver(directories, probed.options);
  }

  async create(layer: Layer, signal: AbortSignal): Promise<Created> {
    const nearest = layer.parents[0];
    await this.#directories.make(layer.id, signal, async (directory) => {
      const tree = path.join(directory, 'fs');
      await mkdir(tree);
      await chmod(tree, 0o755);
      // A view mounts no upper directory, so it needs no work directory.
      if (!layer.readonly) await mkdir(path.join(directory, 'work'), { mode: 0o711 });
      // The kernel shows the root of the upper directory, not those below: it starts as its parent's.
      if (nearest !== undefined) await this.#inheritRoot(nearest, tree);
    });
    return { kind: 'empty' };
  }

  async #inheritRoot(parent: SnapshotId, tree: string): Promise<void> {
    const source = this.#directories.path(parent, 'fs');
    const { uid, gid, mode } = await stat(source);
    await chown(tree, uid, gid);
    await chmod(tree, mode & 0o7777);
    copyXattrs(bytesOf(source), bytesOf(tree), isOverlayMark);
  }

  seal(layer: Layer, signal: AbortSignal): Promise<Usage> {
    return this.usage(layer, signal);
  }

  usage(layer: Layer, signal: AbortSignal): Promise<Usage> {
    return trees.weigh(this.#directories.path(layer.id, 'fs'), signal);
  }

  async mounts(layer: Layer, _signal: AbortSignal): Promise<readonly Mount[]> {
    const own = this.#directories.path(layer.id, 'fs');
    const [nearest, ...deeper] = layer.parents.map((id) => this.#directories.path(id, 'fs'));
    // overlayfs refuses an empty lowerdir, and a lone read-only one: both are plain binds.
    if (nearest === undefined) return [bind(own, layer.readonly)];
    if (layer.readonly && deeper.length === 0) return [bind(nearest, true)];

    const options = [...this.#options];
    if (!layer.readonly) options.push(`workdir=${this.#directories.path(layer.id, 'work')}`, `upperdir=${own}`);
    options.push(`lowerdir=${[nearest, ...deeper].join(':')}`);
    return [{ type: 'overlay', source: 'overlay', options }];
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
