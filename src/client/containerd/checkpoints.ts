import { toBinary, create } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { cleanupSignal } from '#base/call.ts';
import { codeOf, invalid } from '#base/errors.ts';
import { hostPlatform } from '#base/platforms.ts';
import { CheckpointOptionsSchema } from '#proto/gen/containerd/runc/v1/options_pb.ts';
import type { Descriptor as DescriptorMessage } from '#proto/gen/containerd/types/descriptor_pb.ts';
import type { Containerd } from '../containerd.ts';
import type { AnyWords } from '../spec/spec-json.ts';
import type { Container } from './containers.ts';
import { writeBlob } from './content.ts';
import { diff } from './diff.ts';
import { fromMessage, type Descriptor } from './image-graph.ts';
import { images } from './images.ts';
import { leaseId, withLease } from './lease-scope.ts';
import { packAny } from './packing.ts';
import { getProcess } from './removing.ts';
import { isActive, snapshots } from './snapshots.ts';
import { tasks } from './tasks.ts';

const indexType = 'application/vnd.oci.image.index.v1+json';
const optionsType = 'application/vnd.containerd.container.checkpoint.options.v1+proto';
export const runtimeOptionsType = 'application/vnd.containerd.container.checkpoint.runtime.options+proto';

/** Annotations of a checkpoint's index: what to make the container from again. */
export const runtimeAnnotation = 'io.containerd.checkpoint.runtime';
export const snapshotterAnnotation = 'io.containerd.checkpoint.snapshotter';
export const imageAnnotation = 'org.opencontainers.image.ref.name';

export interface CheckpointTaskRequest {
  readonly exit: boolean;
  /** Directories of criu's; with the first one no image is made. */
  readonly imagePath: string;
  readonly workPath: string;
}

/** Saves a running task as an image. Resolves with its name; empty when only files were asked for. */
export function checkpointTask(
  door: Containerd,
  container: Container,
  request: CheckpointTaskRequest,
): Promise<string> {
  return withLease(door, async (leased) => {
    const { id, image, snapshotter, snapshotKey } = container;
    await using _paused = await pause(leased, id);
    const options = packAny(CheckpointOptionsSchema, request);
    const { descriptors } = await tasks(leased).checkpoint({ containerId: id, options });
    if (request.imagePath !== '') return '';
    const manifests: Descriptor[] = descriptors.map((one) => ({ ...whole(one), platform: hostPlatform() }));
    const annotations: Record<string, string> = {};
    if (image !== '') {
      manifests.push(await imageTarget(leased, image));
      annotations['image.name'] = image;
    }
    if (snapshotKey !== '') manifests.push(await written(leased, snapshotter, snapshotKey));
    const name = `containerd.io/checkpoint/${id}:${moment()}`;
    await saveIndex(leased, { name, ref: id, manifests, annotations, labels: { 'containerd.io/checkpoint': 'true' } });
    return name;
  });
}

export interface CheckpointRequest {
  readonly name: string;
  readonly image: boolean;
  readonly writable: boolean;
  readonly task: boolean;
}

/** Saves a container, with or without its files and its running task, as an image of that name. */
export function checkpointContainer(door: Containerd, container: Container, request: CheckpointRequest): Promise<void> {
  return withLease(door, async (leased) => {
    const { id, image, runtime, snapshotter, snapshotKey } = container;
    if (image === '')
      throw invalid(`container "${id}": it was not made from an image, so it cannot be restored from one`);
    const target = await imageTarget(leased, image);
    await using _paused = await pause(leased, id);
    const manifests: Descriptor[] = [];
    if (runtime?.options !== undefined && runtime.options.value.length > 0)
      manifests.push(await saveAny(leased, `${id}-runtime-options`, runtimeOptionsType, runtime.options));
    if (request.image) manifests.push(target);
    if (request.writable) manifests.push(await written(leased, snapshotter, snapshotKey));
    if (request.task) {
      const options = packAny(CheckpointOptionsSchema, { fileLocks: true });
      const { descriptors } = await tasks(leased).checkpoint({ containerId: id, options });
      for (const one of descriptors) manifests.push({ ...whole(one), platform: hostPlatform() });
      manifests.push(await saveAny(leased, `${id}-checkpoint-options`, optionsType, options));
    }
    const annotations = {
      [imageAnnotation]: image,
      [runtimeAnnotation]: runtime?.name ?? '',
      [snapshotterAnnotation]: snapshotter,
    };
    await saveIndex(leased, { name: request.name, ref: `${id}index`, manifests, annotations });
  });
}

/** Pauses a task that runs, until it is disposed. A container without one has nothing to pause. */
async function pause(door: Containerd, containerId: string): Promise<AsyncDisposable> {
  const task = await getProcess(door, containerId).catch((error: unknown) => {
    if (codeOf(error) === 'not-found') return undefined;
    throw error;
  });
  if (task === undefined || task.status === 'PAUSED') return { [Symbol.asyncDispose]: async () => {} };
  await tasks(door).pause({ containerId });
  return {
    [Symbol.asyncDispose]: async () => {
      // It may have been told to end with the checkpoint.
      await tasks(door)
        .resume({ containerId }, { signal: cleanupSignal() })
        .catch(() => {});
    },
  };
}

const imageTarget = async (door: Containerd, name: string): Promise<Descriptor> =>
  whole((await images(door).get({ name })).image?.target);

/** A descriptor with what is noted at it. */
function whole(message: DescriptorMessage | undefined): Descriptor {
  const annotations = message?.annotations ?? {};
  return { ...fromMessage(message), ...(Object.keys(annotations).length === 0 ? {} : { annotations }) };
}

/** What a container has written, as a layer above its image. */
async function written(door: Containerd, snapshotter: string, key: string): Promise<Descriptor> {
  const api = snapshots(door);
  const { info } = await api.stat({ snapshotter, key });
  if (info === undefined || !isActive(info)) throw invalid(`snapshot "${key}": nobody writes to it`);
  const view = `${info.parent}-parent-view-${leaseId()}`;
  const left = await api.view({ snapshotter, key: view, parent: info.parent });
  try {
    const right = await api.mounts({ snapshotter, key });
    const { diff: layer } = await diff(door).diff({
      left: left.mounts,
      right: right.mounts,
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      ref: `checkpoint-rw-${key}`,
    });
    return { ...fromMessage(layer), platform: hostPlatform() };
  } finally {
    await api.remove({ snapshotter, key: view }, { signal: cleanupSignal() }).catch(() => {});
  }
}

async function saveAny(door: Containerd, ref: string, mediaType: string, any: AnyWords): Promise<Descriptor> {
  const { typeUrl, value } = any;
  const data = toBinary(AnySchema, create(AnySchema, { typeUrl, value }));
  const { digest, size } = await writeBlob(door, { ref }, [data]);
  return { mediaType, digest, size, platform: hostPlatform() };
}

interface NewIndex {
  readonly name: string;
  readonly ref: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

async function saveIndex(
  door: Containerd,
  { name, ref, manifests, annotations, labels = {} }: NewIndex,
): Promise<void> {
  const kept = manifests.map(({ digest }, at) => [`containerd.io/gc.ref.content.${at}`, digest]);
  const data = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests, annotations }));
  const { digest, size } = await writeBlob(door, { ref, labels: Object.fromEntries(kept) }, [data]);
  const target = { mediaType: indexType, digest, size: BigInt(size) };
  await images(door).create({ image: { name, target, labels: { ...labels } } });
}

/** `11-21-2026-12:00:00`, in local time: how such an image is told from others of the same task. */
function moment(): string {
  const now = new Date();
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${two(now.getMonth() + 1)}-${two(now.getDate())}-${now.getFullYear()}`;
  return `${day}-${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
}
