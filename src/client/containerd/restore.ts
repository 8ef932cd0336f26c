import { fromBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { cleanupSignal } from '#base/call.ts';
import { invalid } from '#base/errors.ts';
import type { Containerd } from '../containerd.ts';
import { imageAnnotation, runtimeAnnotation, runtimeOptionsType, snapshotterAnnotation } from './checkpoints.ts';
import { containers, type Container } from './containers.ts';
import { readDocument } from './content.ts';
import { diff } from './diff.ts';
import { chainId, fromMessage, ImageGraph, type Descriptor, type Index } from './image-graph.ts';
import { images, type Image } from './images.ts';
import { withLease } from './lease-scope.ts';
import { snapshots } from './snapshots.ts';

const specType = 'application/vnd.containerd.container.checkpoint.config.v1+proto';
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** Makes a container of what a checkpoint of one has saved; with `writable` also of the files that it had written. */
export function restoreContainer(
  door: Containerd,
  id: string,
  checkpoint: Image,
  { writable }: { readonly writable: boolean },
): Promise<Container> {
  return withLease(door, async (leased) => {
    await using undo = new AsyncDisposableStack();
    const index = await new ImageGraph(leased).index(checkpoint.target?.digest ?? '');
    const image = annotation(checkpoint, index, imageAnnotation);
    const snapshotter = annotation(checkpoint, index, snapshotterAnnotation);
    const runtime = annotation(checkpoint, index, runtimeAnnotation);
    const part = (type: string): Descriptor | undefined => index.manifests.find(({ mediaType }) => mediaType === type);
    const { image: base } = await images(leased).get({ name: image });
    const parent = chainId(await new ImageGraph(leased).diffIds(fromMessage(base?.target)));
    const { mounts } = await snapshots(leased).prepare({ snapshotter, key: id, parent });
    undo.defer(async () => {
      await snapshots(leased)
        .remove({ snapshotter, key: id }, { signal: cleanupSignal() })
        .catch(() => {});
    });
    const spec = part(specType);
    const options = part(runtimeOptionsType);
    if (spec === undefined)
      throw invalid(
        `checkpoint "${checkpoint.name}": it holds no spec: save the task too: containers checkpoint --task`,
      );
    if (writable) {
      const layer = part(layerType);
      if (layer === undefined) throw invalid(`checkpoint "${checkpoint.name}": it holds no files that were written`);
      const { mediaType, digest, size } = layer;
      await diff(leased).apply({ diff: { mediaType, digest, size: BigInt(size) }, mounts });
    }
    const { container } = await containers(leased).create({
      container: {
        id,
        image,
        snapshotter,
        snapshotKey: id,
        spec: await readAny(leased, spec),
        runtime: { name: runtime, ...(options === undefined ? {} : { options: await readAny(leased, options) }) },
      },
    });
    undo.move();
    return container!;
  });
}

function annotation({ name }: Image, index: Index, key: string): string {
  const found = (index['annotations'] as Readonly<Record<string, string>> | undefined)?.[key];
  if (found === undefined || found === '') throw invalid(`image "${name}": no checkpoint of a container: no "${key}"`);
  return found;
}

const readAny = async (door: Containerd, { digest }: Descriptor) => {
  const { typeUrl, value } = fromBinary(AnySchema, await readDocument(door, digest));
  return { typeUrl, value };
};
