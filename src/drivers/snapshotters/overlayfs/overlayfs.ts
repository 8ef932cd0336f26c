import { chmod, chown, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { invalid } from '#base/errors.ts';
import { parseIdMappings, toHost } from '#base/id-mappings.ts';
import type { Logger } from '#base/log.ts';
import type { Labels } from '#core/any.ts';
import type { Mount } from '#core/mounts.ts';
import type { Created, Layer, SnapshotDriver, SnapshotId, Usage } from '#core/snapshots.ts';
import { bytesOf } from '#sys/at.ts';
import { copyXattrs } from '#sys/copy.ts';
import { trees } from '#sys/trees.ts';
import { LayerDirectories } from '../layers.ts';
import { probeOverlay } from './probe.ts';

const bind = (source: string, readonly: boolean, mapped: readonly string[]): Mount => ({
  type: 'bind',
  source,
  options: [...mapped, readonly ? 'ro' : 'rw', 'rbind'],
});

/** Who is root in a tree with ids of its own; undefined in any other. invalid-argument for labels that are no mappings. */
function ownerOf({ labels }: Layer): { uid: number; gid: number } | undefined {
  const uids = labels[UIDMAP_LABEL];
  const gids = labels[GIDMAP_LABEL];
  if (uids === undefined && gids === undefined) return undefined;
  if (uids === undefined || gids === undefined)
    throw invalid(`snapshot labels: "${UIDMAP_LABEL}" and "${GIDMAP_LABEL}" need each other`);
  return { uid: toHost(parseIdMappings(uids), 0), gid: toHost(parseIdMappings(gids), 0) };
}

const UIDMAP_LABEL = 'containerd.io/snapshot/uidmapping';
const GIDMAP_LABEL = 'containerd.io/snapshot/gidmapping';
const UPPERDIR_LABEL = 'containerd.io/snapshot/overlay.upperdir';

export interface OverlayfsFeatures {
  /** Whether the kernel can give layers other ids. */
  readonly remapIds?: boolean;
  /** Whether a tree's labels name its upper directory. */
  readonly upperdirLabel?: boolean;
}

/** Marks of overlayfs itself say something about one directory only and are never inherited. */
const isOverlayMark = (name: string): boolean =>
  name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');

/** Each layer holds only its difference, `<root>/<id>/fs`; the kernel shows them as one tree. */
export class OverlayfsDriver implements SnapshotDriver {
  /** An upper directory says by itself what it deletes, whatever it comes to lie upon. */
  readonly rebases = true;
  readonly #directories: LayerDirectories;
  readonly #options: readonly string[];
  readonly #features: OverlayfsFeatures;

  private constructor(directories: LayerDirectories, options: readonly string[], features: OverlayfsFeatures) {
    this.#directories = directories;
    this.#options = options;
    this.#features = features;
  }

  /** `skip` where the kernel or the file system of `root` cannot do it. */
  static async start(
    root: string,
    mountOptions: readonly string[],
    logger: Logger,
    signal: AbortSignal,
    features: OverlayfsFeatures = {},
  ): Promise<OverlayfsDriver | { readonly skip: string }> {
    const directories = await LayerDirectories.open(root, logger, signal);
    const probed = probeOverlay(root, mountOptions);
    return 'skip' in probed ? probed : new OverlayfsDriver(directories, probed.options, features);
  }

  async create(layer: Layer, signal: AbortSignal): Promise<Created> {
    const nearest = layer.parents[0];
    const owner = ownerOf(layer);
    await this.#directories.make(layer.id, signal, async (directory) => {
      const tree = path.join(directory, 'fs');
      await mkdir(tree);
      await chmod(tree, 0o755);
      // A view mounts no upper directory, so it needs no work directory.
      if (!layer.readonly) await mkdir(path.join(directory, 'work'), { mode: 0o711 });
      // The kernel shows the root of the upper directory, not those below: it starts as its parent's.
      if (nearest !== undefined) await this.#inheritRoot(nearest, tree);
      if (owner !== undefined) await chown(tree, owner.uid, owner.gid);
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

  /** What containerd tells of a tree beside its own labels. */
  facts(id: SnapshotId): Labels {
    return this.#features.upperdirLabel === true ? { [UPPERDIR_LABEL]: this.#directories.path(id, 'fs') } : {};
  }

  async mounts(layer: Layer, _signal: AbortSignal): Promise<readonly Mount[]> {
    const own = this.#directories.path(layer.id, 'fs');
    const mapped = this.#mapping(layer);
    const [nearest, ...deeper] = layer.parents.map((id) => this.#directories.path(id, 'fs'));
    // overlayfs refuses an empty lowerdir, and a lone read-only one: both are plain binds.
    if (nearest === undefined) return [bind(own, layer.readonly, mapped)];
    if (layer.readonly && deeper.length === 0) return [bind(nearest, true, mapped)];

    const options = [...mapped];
    if (!layer.readonly) options.push(`workdir=${this.#directories.path(layer.id, 'work')}`, `upperdir=${own}`);
    options.push(`lowerdir=${[nearest, ...deeper].join(':')}`, ...this.#options);
    return [{ type: 'overlay', source: 'overlay', options }];
  }

  #mapping({ labels }: Layer): string[] {
    if (this.#features.remapIds !== true) return [];
    const uids = labels[UIDMAP_LABEL];
    const gids = labels[GIDMAP_LABEL];
    return [...(uids === undefined ? [] : [`uidmap=${uids}`]), ...(gids === undefined ? [] : [`gidmap=${gids}`])];
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
