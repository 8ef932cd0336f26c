import { join } from 'node:path';
import { mountWords, snapshots, type Mount } from '#client/containerd/snapshots.ts';
import type { Flags } from '../../flags.ts';
import { print } from '../../output.ts';
import { command, type Context } from '../command.ts';
import { printJson } from '../listing.ts';
import { seekingSnapshot, snapshotterOf } from '../snapshot-seek.ts';

const mountFlags = {
  target: { kind: 'one', short: 't', help: 'Mount target path, will print mount, if provided' },
  mounts: { kind: 'on', help: 'Print out snapshot mounts as JSON' },
} as const satisfies Flags;

/** Keeps what somebody makes by hand from the garbage collector, as `ctr` does. */
const rooted = (): Record<string, string> => ({
  'containerd.io/gc.root': new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
});

function show(mounts: readonly Mount[], flags: { target: string | undefined; mounts: boolean }): void {
  if (flags.target !== undefined && flags.target !== '') printMounts(flags.target, mounts);
  if (flags.mounts) printJson(mountWords(mounts));
}

const printMounts = (target: string, mounts: readonly Mount[]): void =>
  print(
    1,
    mounts
      .map((one) => `mount -t ${one.type} ${one.source} ${join(target, one.target)} -o ${one.options.join(',')}\n`)
      .join(''),
  );

/** What is missing when a snapshot cannot be made is its parent. */
const parentSought = <T>(context: Context, snapshotter: string, parent: string, action: () => Promise<T>): Promise<T> =>
  parent === '' ? action() : seekingSnapshot(context, snapshotter, parent, action);

export const prepare = command({
  usage: '[flags] <key> [<parent>]',
  flags: mountFlags,
  takes: [1, 2],
  examples: [['snapshots prepare -t /mnt work sha256:…', 'prints the command that mounts it']],
  async run(context, { flags, rest: [key = '', parent = ''] }) {
    const snapshotter = await snapshotterOf(context);
    const { mounts: made } = await parentSought(context, snapshotter, parent, () =>
      snapshots(context.door).prepare({ snapshotter, key, parent, labels: rooted() }),
    );
    show(made, flags);
  },
});

export const view = command({
  usage: '[flags] <key> [<parent>]',
  flags: mountFlags,
  takes: [1, 2],
  examples: [['snapshots view --mounts look sha256:…', 'its mounts as JSON']],
  async run(context, { flags, rest: [key = '', parent = ''] }) {
    const snapshotter = await snapshotterOf(context);
    const { mounts: made } = await parentSought(context, snapshotter, parent, () =>
      snapshots(context.door).view({ snapshotter, key, parent }),
    );
    show(made, flags);
  },
});

export const mounts = command({
  usage: '<target> <key>',
  flags: {},
  takes: [2, 2],
  examples: [['snapshots mounts /mnt work | sh', 'mounts it']],
  async run(context, { rest: [target = '', key = ''] }) {
    const snapshotter = await snapshotterOf(context);
    const { mounts: found } = await seekingSnapshot(context, snapshotter, key, () =>
      snapshots(context.door).mounts({ snapshotter, key }),
    );
    printMounts(target, found);
  },
});

export const commit = command({
  usage: '<key> <active>',
  flags: {},
  takes: [2, 2],
  examples: [['snapshots commit finished work', '"work" becomes "finished", and stays as it is']],
  async run(context, { rest: [name = '', key = ''] }) {
    const snapshotter = await snapshotterOf(context);
    await seekingSnapshot(context, snapshotter, key, () =>
      snapshots(context.door).commit({ snapshotter, name, key, labels: rooted() }),
    );
  },
});
