import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Call } from '#base/call.ts';
import { codeOf, HakoError } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import { removeFiles } from './files.ts';
import { ignoreMissing, keyOf, ownCall, type EngineHouse } from './house.ts';
import { recordOf, type DockerRecord } from './record.ts';
import { nameOf, resolve, standingOf } from './resolve.ts';

export async function remove(
  house: EngineHouse,
  call: Call,
  ref: string,
  options: { force: boolean; volumes: boolean },
): Promise<void> {
  const { id } = resolve(house, call, ref);
  using _lock = await house.locks.hold(keyOf(call.namespace, id), call.signal);
  const container = resolve(house, call, id);
  const { status } = standingOf(house, call, id);
  if (!options.force && (status === 'running' || status === 'paused')) {
    const what = `cannot remove container "${nameOf(house, call, container)}": container is ${status}`;
    const hint = status === 'paused' ? 'unpause and then stop the container' : 'stop the container';
    throw new HakoError('conflict', `${what}: ${hint} before removing or force remove`);
  }
  await removeContainer(house, call, container, options);
}

/** Removes a container with all that is its own; its lock is held by the caller. A step that is done already is fine. */
export async function removeContainer(
  house: EngineHouse,
  call: Call,
  container: Container,
  options: { volumes: boolean },
): Promise<void> {
  const { id } = container;
  const { namespace } = call;
  const own = ownCall(house, namespace);
  const record = recordOf(container);
  await ignoreMissing(house.tasks.delete(call, id, '', { force: true }));
  house.execs.forget(keyOf(namespace, id));
  // The row goes last of what a restarted daemon could not find again, and first of what the collector finds by itself.
  if (options.volumes && record !== undefined) await removeVolumes(house, own, container, record);
  await ignoreMissing(house.containers.delete(own, id));
  if (container.snapshotKey !== '') {
    await ignoreMissing(house.snapshots.remove(own, container.snapshotter, container.snapshotKey));
  }
  await removeFiles(house, namespace, id);
  await house.lives.tell(keyOf(namespace, id), { kind: 'removed' });
}

/** Volumes that were made for this container alone. One that another container came to use stays. */
async function removeVolumes(
  house: EngineHouse,
  call: Call,
  container: Container,
  record: DockerRecord,
): Promise<void> {
  const own = record.mounts.filter((mount) => mount.Type === 'volume' && mount.Anonymous === true);
  if (own.length === 0) return;
  const used = volumesInUse(house, call, container.id);
  for (const { Name, Source } of own) {
    if (Name === undefined || used.has(Name)) continue;
    await rm(path.dirname(Source), { recursive: true, force: true });
  }
}

/** Names of the volumes of all containers of all namespaces but one. */
function volumesInUse(house: EngineHouse, call: Call, but: string): Set<string> {
  const used = new Set<string>();
  for (const { name: namespace } of house.namespaces.list()) {
    for (const container of house.containers.list({ ...call, namespace }, [])) {
      if (container.id === but) continue;
      try {
        for (const { Name } of recordOf(container)?.mounts ?? []) if (Name !== undefined) used.add(Name);
      } catch (error) {
        // An unreadable record of another container is no reason to keep this one.
        if (codeOf(error) !== 'data-loss') throw error;
      }
    }
  }
  return used;
}
