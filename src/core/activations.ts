import type { Labels } from './any.ts';
import type { Mount } from './mounts.ts';

/** Names a set of active mounts on disk. Ours, never the user's: names and namespaces stay in metadata. */
export type ActivationId = string & { readonly brand: 'ActivationId' };

/** A mount that has been made, or a device that has been set up. */
export interface ActiveMount {
  readonly mount: Mount;
  readonly mountedAt: Date;
  /** The directory it is mounted on, or the name of the device. */
  readonly mountPoint: string;
  readonly data: Labels;
}

export interface Activated {
  readonly active: readonly ActiveMount[];
  /** What is left for the caller to mount, in a container's mount namespace for instance. */
  readonly system: readonly Mount[];
}

/** Makes mounts that need more than mount(2): prepared first, over devices, or filled in from the ones before. */
export interface Activator {
  /**
   * Does what the caller cannot. `temporary`: makes all of them, and gives one bind mount of the result. unimplemented when
   * there is nothing to do: then the caller mounts as ever. Undoes itself when it fails.
   */
  activate(
    id: ActivationId,
    mounts: readonly Mount[],
    options: { readonly temporary: boolean },
    signal: AbortSignal,
  ): Promise<Activated>;
  /** Undoes all that was done under the id. Idempotent. */
  deactivate(id: ActivationId): Promise<void>;
  /** Every activation on disk, for reconciling at boot. */
  list(): Promise<ActivationId[]>;
}
