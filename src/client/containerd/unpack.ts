import { codeOf, HakoError } from '#base/errors.ts';
import type { PlatformWords } from '#base/platforms.ts';
import type { Containerd } from '../containerd.ts';
import { contents } from './content.ts';
import { diff } from './diff.ts';
import { chainId, ImageGraph, type Descriptor } from './image-graph.ts';
import { leaseId, withLease } from './lease-scope.ts';
import { snapshots } from './snapshots.ts';

export interface UnpackRequest {
  readonly target: Descriptor;
  readonly snapshotter: string;
  readonly platform?: PlatformWords | undefined;
  readonly syncFs?: boolean;
}

/** Whether the snapshot of an image's uppermost layer is there. An image whose documents are missing is not. */
export async function isUnpacked(door: Containerd, graph: ImageGraph, request: UnpackRequest): Promise<boolean> {
  try {
    const key = chainId(await graph.diffIds(request.target, request.platform));
    await snapshots(door).stat({ snapshotter: request.snapshotter, key });
    return true;
  } catch (error) {
    if (codeOf(error) === 'not-found') return false;
    throw error;
  }
}

/** Makes a snapshot of each layer that has none yet. Resolves with the uppermost one's name. */
export async function unpackImage(door: Containerd, request: UnpackRequest): Promise<string> {
  const graph = new ImageGraph(door);
  const manifest = await graph.manifestFor(request.target, request.platform);
  const { config, layers } = await graph.manifest(manifest.digest);
  const diffIds = await graph.diffIds(manifest);
  if (layers.length !== diffIds.length) {
    throw new HakoError(
      'invalid-argument',
      `manifest "${manifest.digest}" has ${layers.length} layers, and its configuration ${diffIds.length}`,
    );
  }
  return withLease(door, async (leased) => {
    for (const [index, layer] of layers.entries())
      await unpackLayer(leased, request, layer, diffIds.slice(0, index + 1));
    const chain = chainId(diffIds);
    await label(leased, config.digest, `containerd.io/gc.ref.snapshot.${request.snapshotter}`, chain);
    return chain;
  });
}

const label = async (door: Containerd, digest: string, name: string, value: string): Promise<void> => {
  await contents(door).update({
    info: { digest, labels: { [name]: value } },
    updateMask: { paths: [`labels.${name}`] },
  });
};

async function unpackLayer(
  door: Containerd,
  { snapshotter, syncFs = false }: UnpackRequest,
  layer: Descriptor,
  diffIds: readonly string[],
): Promise<void> {
  const api = snapshots(door);
  const name = chainId(diffIds);
  const exists = (key: string): Promise<boolean> =>
    api.stat({ snapshotter, key }).then(
      () => true,
      (error: unknown) => {
        if (codeOf(error) === 'not-found') return false;
        throw error;
      },
    );
  if (await exists(name)) return;
  const parent = diffIds.length === 1 ? '' : chainId(diffIds.slice(0, -1));
  const key = `extract-${leaseId()} ${name}`;
  const labels = { 'containerd.io/snapshot.ref': name };
  try {
    const { mounts } = await api.prepare({ snapshotter, key, parent, labels });
    const { mediaType, digest, size } = layer;
    const { applied } = await diff(door).apply({ diff: { mediaType, digest, size: BigInt(size) }, mounts, syncFs });
    const wanted = diffIds.at(-1) ?? '';
    if (applied?.digest !== wanted)
      throw new HakoError('data-loss', `layer "${digest}": unpacked to ${applied?.digest}, not to ${wanted}`);
    await api.commit({ snapshotter, name, key, labels });
    await label(door, digest, 'containerd.io/uncompressed', wanted);
  } catch (error) {
    await api.remove({ snapshotter, key }).catch(() => {});
    // Someone else was faster, or the snapshotter has the layer from elsewhere.
    if (codeOf(error) !== 'already-exists' || !(await exists(name))) throw error;
  }
}
