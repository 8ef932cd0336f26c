import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import type { Sandboxer } from '#core/sandboxes.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { SHIM_SANDBOXER } from './sandbox-controllers.ts';

/**
 * Makes sure that a container's sandbox takes its task: not-found when the sandbox is not run. A sandbox that no store has
 * is passed over, as in containerd: older clients group containers by such a name alone.
 */
export async function checkSandbox(
  parts: { readonly ledger: Ledger; readonly sandboxers?: ReadonlyMap<string, Sandboxer> },
  { namespace, signal }: Call,
  container: Container,
  address: string,
): Promise<void> {
  const id = container.sandbox;
  if (id === '' || parts.ledger.sandboxes.find(namespace, id) === undefined) return;
  // The first container of a pod may itself be what its sandbox is.
  if (parts.ledger.processes.find(namespace, id, '') !== undefined) return;
  const status = await parts.sandboxers?.get(SHIM_SANDBOXER)?.status({ namespace, id }, false, signal);
  if (address !== '' && address !== status?.address) {
    throw new HakoError(
      'unimplemented',
      `failed to start shim: sandbox ${id} has its task API at "${address}", which is not our own shim's: not implemented`,
    );
  }
  const live = status !== undefined && status.state !== '' && (status.exitedAt?.getTime() ?? 0) === 0;
  if (!live) throw new HakoError('not-found', `failed to start shim: can't find shim for sandbox ${id}: not found`);
}
