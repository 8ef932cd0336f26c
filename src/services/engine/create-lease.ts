import { cleanupSignal, type Call } from '#base/call.ts';
import { codeOf, messageOf } from '#base/errors.ts';
import { ignoreMissing, type EngineHouse } from './house.ts';

/** Marks the leases of containers in the making, so that a start finds those that a kill has left. */
const label = 'hakobune.io/create';

/** Holds what is made until the container's row does, against a garbage collection in between. */
export async function leased(house: EngineHouse, call: Call, undo: AsyncDisposableStack): Promise<Call> {
  if (call.lease !== undefined) return call;
  const expires = new Date(Date.now() + 3600_000).toISOString();
  const lease = await house.leases.create(call, '', { 'containerd.io/gc.expire': expires, [label]: 'true' });
  undo.defer(() => house.leases.delete({ ...call, signal: cleanupSignal() }, lease.id, { sync: false }));
  return { ...call, lease: lease.id };
}

export async function dropLease(house: EngineHouse, call: Call): Promise<void> {
  if (call.lease === undefined) return;
  try {
    await house.leases.delete({ namespace: call.namespace, signal: cleanupSignal() }, call.lease, { sync: false });
  } catch (error) {
    // It expires by itself.
    if (codeOf(error) !== 'not-found')
      house.logger.log('warn', 'a lease was not dropped', { lease: call.lease, error: messageOf(error) });
  }
}

/** Gives up, in one namespace, what containers hold whose making a kill cut short. At a start, before anybody may call. */
export async function dropLeases(house: EngineHouse, call: Call): Promise<void> {
  for (const { id } of house.leases.list(call, [`labels."${label}"`])) {
    await ignoreMissing(house.leases.delete(call, id, { sync: false }));
  }
}
