import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { Labels } from '#core/any.ts';
import type { Mount } from '#core/mounts.ts';
import type { Usage } from '#core/snapshots.ts';

export interface SnapshotInfo {
  readonly kind: 'view' | 'active' | 'committed';
  readonly name: string;
  readonly parent: string;
  readonly labels: Labels;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Keys, parents and labels of file system trees. `snapshotter` '' is the default one; an unknown one is invalid. */
export class Snapshots {
  prepare(
    _call: Call,
    _snapshotter: string,
    _key: string,
    _parent: string,
    _labels: Labels,
  ): Promise<readonly Mount[]> {
    throw unimplemented('snapshots.prepare');
  }
  view(_call: Call, _snapshotter: string, _key: string, _parent: string, _labels: Labels): Promise<readonly Mount[]> {
    throw unimplemented('snapshots.view');
  }
  mounts(_call: Call, _snapshotter: string, _key: string): Promise<readonly Mount[]> {
    throw unimplemented('snapshots.mounts');
  }
  commit(_call: Call, _snapshotter: string, _name: string, _key: string, _labels: Labels): Promise<void> {
    throw unimplemented('snapshots.commit');
  }
  /** failed-precondition while it has children. */
  remove(_call: Call, _snapshotter: string, _key: string): Promise<void> {
    throw unimplemented('snapshots.remove');
  }
  stat(_call: Call, _snapshotter: string, _key: string): SnapshotInfo {
    throw unimplemented('snapshots.stat');
  }
  update(
    _call: Call,
    _snapshotter: string,
    _info: { name: string; labels: Labels },
    _paths: readonly string[],
  ): Promise<SnapshotInfo> {
    throw unimplemented('snapshots.update');
  }
  list(_call: Call, _snapshotter: string, _filters: readonly string[]): Iterable<SnapshotInfo> {
    throw unimplemented('snapshots.list');
  }
  usage(_call: Call, _snapshotter: string, _key: string): Promise<Usage> {
    throw unimplemented('snapshots.usage');
  }
  /** Removes from disk what no row names. */
  cleanup(_call: Call, _snapshotter: string): Promise<void> {
    throw unimplemented('snapshots.cleanup');
  }
}
