import { chooseSnapshotter, snapshots } from '#client/containerd/snapshots.ts';
import type { Containerd } from '#client/containerd.ts';
import type { Context } from './command.ts';
import { seeking } from './seek.ts';

/** The snapshotter that `snapshots --snapshotter`, the environment, the namespace or custom says. */
export const snapshotterOf = ({ door, group }: Context): Promise<string> =>
  chooseSnapshotter(door, typeof group['snapshotter'] === 'string' ? group['snapshotter'] : undefined);

/** Does something to a snapshot; where it is not there, the error names the namespaces that have it. */
export const seekingSnapshot = <T>(
  context: Context,
  snapshotter: string,
  key: string,
  action: () => Promise<T>,
): Promise<T> =>
  seeking(
    context,
    { kind: 'snapshot', name: key, look: (door: Containerd) => snapshots(door).stat({ snapshotter, key }) },
    action,
  );
