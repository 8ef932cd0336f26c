import { codeOf, invalid } from '#base/errors.ts';
import type { Containerd } from '../containerd.ts';
import type { IoPaths } from '../process-io.ts';
import { unpackSpec } from '../spec/spec-json.ts';
import type { Container } from './containers.ts';
import { ImageGraph } from './image-graph.ts';
import type { Image } from './images.ts';
import { taskOptions } from './runtime-options.ts';
import { snapshots } from './snapshots.ts';
import { tasks } from './tasks.ts';

export interface TaskRequest {
  readonly io: IoPaths;
  readonly noPivot?: boolean;
  /** An image that a checkpoint was saved as. */
  readonly checkpoint?: Image | undefined;
}

/** Creates a container's task, not yet started. Resolves with its process id. */
export async function createTask(door: Containerd, container: Container, request: TaskRequest): Promise<number> {
  const { id, runtime } = container;
  const { linux } = unpackSpec(container.spec, id);
  const options = taskOptions(runtime?.options, {
    noPivot: request.noPivot ?? false,
    ioUid: linux?.uidMappings?.[0]?.hostID,
    ioGid: linux?.gidMappings?.[0]?.hostID,
  });
  const { pid } = await tasks(door).create({
    containerId: id,
    ...request.io,
    rootfs: await rootfsOf(door, container, linux?.mountLabel ?? ''),
    ...(options === undefined ? {} : { options }),
    ...(request.checkpoint === undefined ? {} : { checkpoint: await checkpointIn(door, request.checkpoint) }),
  });
  return pid;
}

async function rootfsOf(door: Containerd, { snapshotter, snapshotKey: key }: Container, label: string) {
  if (key === '') return [];
  if (snapshotter === '') throw invalid(`snapshot "${key}": the container does not say whose snapshot it is`);
  const { mounts } = await snapshots(door).mounts({ snapshotter, key });
  return mounts.map(({ type, source, target, options }) => ({
    type,
    source,
    target,
    options: label === '' ? options : [...options, `context="${label}"`],
  }));
}

export const checkpointType = 'application/vnd.containerd.container.criu.checkpoint.criu.tar';

async function checkpointIn(door: Containerd, { name, target }: Image) {
  const { manifests } = await new ImageGraph(door).index(target?.digest ?? '');
  const found = manifests.find(({ mediaType }) => mediaType === checkpointType);
  if (found === undefined) throw invalid(`image "${name}": there is no checkpoint of a task in it`);
  const { mediaType, digest, size, annotations = {} } = found;
  return { mediaType, digest, size: BigInt(size), annotations };
}

const SIGKILL = 9;

/** Kills all processes of a task and waits until they are gone. No error where there is none. */
export async function killTask(door: Containerd, containerId: string, execId = ''): Promise<void> {
  const api = tasks(door);
  try {
    const gone = api.wait({ containerId, execId });
    gone.catch(() => {});
    await api.kill({ containerId, execId, signal: SIGKILL, all: execId === '' });
    await gone;
  } catch (error) {
    if (!['not-found', 'failed-precondition'].includes(codeOf(error))) throw error;
  }
}
