import { rm } from 'node:fs/promises';
import path from 'node:path';
import { messageOf } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import type { TaskHooks } from '../tasks.ts';
import { flagOf } from './fields.ts';
import { dropLeases } from './create-lease.ts';
import { ignoreMissing, ioDirectory, keyOf, ownCall, type EngineHouse } from './house.ts';
import { connect, disconnect, reconcileNetworks } from './network.ts';
import { recordOf } from './record.ts';
import { removeContainer } from './remove.ts';
import { isAlive, standingOf } from './resolve.ts';

/** What hangs on a task's life, whichever door starts and ends it. */
export const taskHooks = (house: EngineHouse): TaskHooks => ({
  prepare: (container, spec, signal) => connect(house, container, spec, signal),
  exited: async (container) => onExit(house, container),
  released: async ({ namespace, id }) => {
    await disconnect(house, namespace, id);
    await rm(ioDirectory(house, namespace, id), { recursive: true, force: true });
  },
});

function onExit(house: EngineHouse, container: Container): void {
  const record = recordOf(container);
  if (record === undefined) return;
  // Not waited for: removing a task asks the very service that calls us.
  house.background.start(`tidying up container "${container.id}"`, () => settle(house, record.namespace, container.id));
}

/**
 * Frees what a container that ended holds, and removes it when it was made to be (`--rm`). Only what the engine started:
 * a client at another door removes its task by itself, and would miss it. With `unstarted` one that never ran goes too:
 * whoever was about to start it lost the daemon, and nobody else will. Idempotent.
 */
export async function settle(
  house: EngineHouse,
  namespace: string,
  id: string,
  { unstarted = false }: { unstarted?: boolean } = {},
): Promise<void> {
  using _lock = await house.locks.hold(keyOf(namespace, id), house.signal);
  const call = ownCall(house, namespace);
  const container = house.containers.find(call, id);
  const record = container === undefined ? undefined : recordOf(container);
  if (container === undefined || record === undefined) return;
  const task = house.ledger.processes.find(namespace, id, '');
  const abandoned = unstarted && task?.status === 'created';
  if (task !== undefined && task.status !== 'stopped' && !abandoned) return;
  if (task !== undefined) {
    if (!isOurs(house, task.stdio)) return;
    await ignoreMissing(house.tasks.delete(call, id, '', { force: abandoned }));
  }
  const { status } = standingOf(house, call, id);
  if (flagOf(record.hostConfig, 'AutoRemove') && (status === 'exited' || (unstarted && status === 'created'))) {
    await removeContainer(house, call, container, { volumes: true });
  }
}

/** The engine's own tasks leave their output to the spool; clients of other doors bring FIFOs. */
function isOurs(house: EngineHouse, stdio: { stdin: string; stdout: string; stderr: string }): boolean {
  const io = `${path.join(house.state, 'io')}/`;
  return stdio.stdout === '' && stdio.stderr === '' && (stdio.stdin === '' || stdio.stdin.startsWith(io));
}

/** After the tasks agree with the machine: goes on with what a daemon that died was about to do. */
export async function reconcile(house: EngineHouse, signal: AbortSignal): Promise<void> {
  for (const { name: namespace } of house.namespaces.list()) {
    await dropLeases(house, { namespace, signal });
    for (const container of house.containers.list({ namespace, signal }, [])) {
      if (recordOf(container) === undefined || isAlive(standingOf(house, { namespace, signal }, container.id)))
        continue;
      await settle(house, namespace, container.id, { unstarted: true }).catch((error: unknown) => {
        house.logger.log('warn', 'a container that ended was not tidied up', {
          namespace,
          id: container.id,
          error: messageOf(error),
        });
      });
    }
  }
  await reconcileNetworks(house, signal);
}
