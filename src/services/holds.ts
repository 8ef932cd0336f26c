import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { LeaseResource } from './leases.ts';

/**
 * Puts what a call has made into the call's lease, inside the transaction that makes it: there is no moment in which
 * the garbage collector could see it unheld. Without a lease, nothing.
 */
export function hold(ledger: Ledger, call: Call, resource: LeaseResource): void {
  if (call.lease === undefined) return;
  if (ledger.leases.find(call.namespace, call.lease) === undefined) {
    throw new HakoError('not-found', `lease ${JSON.stringify(call.lease)} does not exist: not found`);
  }
  ledger.leases.addResource(call.namespace, call.lease, resource);
}

/** Takes it out of the call's lease again. */
export function release(ledger: Ledger, call: Call, resource: LeaseResource): void {
  if (call.lease !== undefined) ledger.leases.deleteResource(call.namespace, call.lease, resource);
}
