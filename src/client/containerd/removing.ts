import { cleanupSignal } from '#base/call.ts';
import { codeOf, HakoError } from '#base/errors.ts';
import { Status } from '#proto/gen/containerd/types/task/task_pb.ts';
import type { Containerd } from '../containerd.ts';
import { removeFifos, type IoPaths } from '../process-io.ts';
import { containers, type Container } from './containers.ts';
import { snapshots } from './snapshots.ts';
import { tasks } from './tasks.ts';

/** Removes a container's record, and its snapshot before that unless it is to be kept. */
export async function removeContainer(
  door: Containerd,
  { id, snapshotter, snapshotKey: key }: Container,
  { keepSnapshot = false } = {},
): Promise<void> {
  const options = { signal: cleanupSignal() };
  if (key !== '' && !keepSnapshot) {
    await snapshots(door)
      .remove({ snapshotter, key }, options)
      .catch((error: unknown) => {
        if (codeOf(error) !== 'not-found') throw error;
      });
  }
  await containers(door).delete({ id }, options);
}

/** Deletes a task that has stopped, and its FIFOs. Resolves with its exit code. */
export async function removeTask(door: Containerd, containerId: string, io: IoPaths): Promise<number> {
  const { exitStatus } = await tasks(door).delete({ containerId }, { signal: cleanupSignal() });
  await removeFifos(io);
  return exitStatus;
}

/** Deletes a process of an exec that has stopped, and its FIFOs. Resolves with its exit code. */
export async function removeProcess(
  door: Containerd,
  ids: { readonly containerId: string; readonly execId: string },
  io: IoPaths,
): Promise<number> {
  const { exitStatus } = await tasks(door).deleteProcess(ids, { signal: cleanupSignal() });
  await removeFifos(io);
  return exitStatus;
}

/** A process as the daemon has it. */
export interface ProcessFacts {
  readonly pid: number;
  /** `RUNNING`, `STOPPED` … */
  readonly status: string;
  readonly exitStatus: number;
  readonly io: IoPaths;
}

/** The task of a container, or a process of an exec in it. */
export async function getProcess(door: Containerd, containerId: string, execId = ''): Promise<ProcessFacts> {
  const { process } = await tasks(door).get({ containerId, execId });
  if (process === undefined) throw new HakoError('not-found', `task "${containerId}": not found`);
  const { pid, status, exitStatus, stdin, stdout, stderr, terminal } = process;
  return { pid, status: statusWord(status), exitStatus, io: { stdin, stdout, stderr, terminal } };
}

/** A status in containerd's words. */
export const statusWord = (status: Status): string =>
  Object.entries(Status).find(([, number]) => number === status)?.[0] ?? 'UNKNOWN';
