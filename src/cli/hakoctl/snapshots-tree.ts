import type { Tree } from './command.ts';

export const snapshotsTree: Tree = {
  commit: {
    summary: 'Commit an active snapshot into the provided name',
    load: async () => (await import('./commands/snapshots-make.ts')).commit,
  },
  diff: {
    summary:
      "Print the difference of two snapshots as a layer; the second is the first one's parent where none is named",
    load: async () => (await import('./commands/snapshots-diff.ts')).diff,
  },
  info: { summary: 'Get info about a snapshot', load: async () => (await import('./commands/snapshots.ts')).info },
  list: {
    summary: 'List snapshots',
    aliases: ['ls'],
    load: async () => (await import('./commands/snapshots.ts')).list,
  },
  mounts: {
    summary: 'Print the commands that mount a snapshot',
    aliases: ['m', 'mount'],
    load: async () => (await import('./commands/snapshots-make.ts')).mounts,
  },
  prepare: {
    summary: 'Prepare a snapshot from a committed snapshot',
    load: async () => (await import('./commands/snapshots-make.ts')).prepare,
  },
  delete: {
    summary: 'Remove snapshots',
    aliases: ['del', 'remove', 'rm'],
    load: async () => (await import('./commands/snapshots.ts')).remove,
  },
  label: { summary: 'Add labels to a snapshot', load: async () => (await import('./commands/snapshots.ts')).label },
  tree: {
    summary: 'Display tree view of snapshot branches',
    load: async () => (await import('./commands/snapshots.ts')).tree,
  },
  unpack: {
    summary: 'Apply the layers of a manifest to snapshots',
    load: async () => (await import('./commands/snapshots-unpack.ts')).unpack,
  },
  usage: { summary: 'Usage of snapshots', load: async () => (await import('./commands/snapshots.ts')).usage },
  view: {
    summary: 'Create a read-only snapshot from a committed snapshot',
    load: async () => (await import('./commands/snapshots-make.ts')).view,
  },
};
