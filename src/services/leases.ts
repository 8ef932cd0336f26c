import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { Labels } from '#core/any.ts';

export interface Lease {
  readonly id: string;
  readonly labels: Labels;
  readonly createdAt: Date;
}

/** `type` in containerd's words: `content`, `snapshots/overlayfs`, `ingests`, `images`. */
export interface LeaseResource {
  readonly type: string;
  readonly id: string;
}

/** Hold things against the garbage collector while a client works. */
export class Leases {
  /** An empty id makes one up. */
  create(_call: Call, _id: string, _labels: Labels): Promise<Lease> {
    throw unimplemented('leases.create');
  }
  /** `sync` waits until what nothing else holds is gone from disk. */
  delete(_call: Call, _id: string, _options: { sync: boolean }): Promise<void> {
    throw unimplemented('leases.delete');
  }
  list(_call: Call, _filters: readonly string[]): Lease[] {
    throw unimplemented('leases.list');
  }
  addResource(_call: Call, _id: string, _resource: LeaseResource): Promise<void> {
    throw unimplemented('leases.addResource');
  }
  deleteResource(_call: Call, _id: string, _resource: LeaseResource): Promise<void> {
    throw unimplemented('leases.deleteResource');
  }
  resources(_call: Call, _id: string): LeaseResource[] {
    throw unimplemented('leases.resources');
  }
}
