import { cleanupSignal } from '#base/call.ts';
import type { Containerd } from '../containerd.ts';
import { leases } from './leases.ts';

const lifetime = 24 * 3_600_000;

/** Runs something whose leavings belong to a lease: when it ends, what nothing else holds is garbage. */
export async function withLease<T>(door: Containerd, action: (leased: Containerd) => Promise<T>): Promise<T> {
  const expiry = new Date(Date.now() + lifetime).toISOString().replace(/\.\d+Z$/, 'Z');
  const { lease } = await leases(door).create({ id: leaseId(), labels: { 'containerd.io/gc.expire': expiry } });
  const id = lease?.id ?? '';
  try {
    return await action(door.underLease(id));
  } finally {
    // Left behind it would only expire: not worth an error.
    await leases(door)
      .delete({ id }, { signal: cleanupSignal() })
      .catch(() => {});
  }
}

/** Unique enough, and it says when it was made, as containerd's own ids do. */
export function leaseId(): string {
  const nanoseconds = String(process.hrtime.bigint() % 1_000_000_000n);
  return `${Math.trunc(Date.now() / 1000)}${nanoseconds}-${Math.random().toString(36).slice(2, 6)}`;
}
