import type { Leaf, Tree } from './command.ts';
import { containerTree } from './containers-tree.ts';
import { contentTree } from './content-tree.ts';
import { imagesTree } from './images-tree.ts';
import { snapshotsTree } from './snapshots-tree.ts';

const { containers, run, tasks, sandboxes, shim } = containerTree;

const namespaces: Tree = {
  create: {
    summary: 'Create a new namespace',
    aliases: ['c'],
    load: async () => (await import('./commands/namespaces.ts')).create,
  },
  list: {
    summary: 'List namespaces',
    aliases: ['ls'],
    load: async () => (await import('./commands/namespaces.ts')).list,
  },
  remove: {
    summary: 'Remove one or more namespaces',
    aliases: ['rm'],
    load: async () => (await import('./commands/namespaces.ts')).remove,
  },
  label: {
    summary: 'Set and clear labels for a namespace',
    load: async () => (await import('./commands/namespaces.ts')).label,
  },
};

const leases: Tree = {
  list: {
    summary: 'List all active leases',
    aliases: ['ls'],
    load: async () => (await import('./commands/leases.ts')).list,
  },
  create: { summary: 'Create a lease', load: async () => (await import('./commands/leases.ts')).create },
  delete: {
    summary: 'Delete one or more leases',
    aliases: ['del', 'remove', 'rm'],
    load: async () => (await import('./commands/leases.ts')).remove,
  },
};

const plugins: Tree = {
  list: {
    summary: "List the daemon's plugins",
    aliases: ['ls'],
    load: async () => (await import('./commands/plugins.ts')).list,
  },
  'inspect-runtime': {
    summary: 'Show what a runtime can do',
    load: async () => (await import('./commands/inspect-runtime.ts')).inspectRuntime,
  },
};

const gc: Tree = {
  plan: {
    summary: 'Show what a garbage collection would remove now',
    load: async () => (await import('./commands/gc.ts')).plan,
  },
  explain: {
    summary: 'Say what keeps a blob, snapshot or image, or that nothing does',
    load: async () => (await import('./commands/gc.ts')).explain,
  },
  run: { summary: 'Collect garbage now', load: async () => (await import('./commands/gc.ts')).run },
};

const profile = (name: string, summary: string): Leaf => ({
  summary,
  load: async () => (await import('./commands/pprof.ts')).profiles[name]!,
});

const pprof: Tree = {
  block: profile('block', 'Blocking profile'),
  goroutines: profile('goroutines', 'Stacks of all goroutines'),
  heap: profile('heap', 'Heap profile'),
  profile: profile('profile', 'CPU profile'),
  threadcreate: profile('threadcreate', 'Profile of thread creation'),
  trace: profile('trace', 'Execution trace'),
};

/** All commands, in the order in which the help shows them: `ctr`'s, and then ours. */
export const tree: Tree = {
  ...(containers && { containers }),
  ...(run && { run }),
  ...(tasks && { tasks }),
  ...(sandboxes && { sandboxes }),
  images: { summary: 'Manage images', aliases: ['image', 'i'], commands: imagesTree },
  content: { summary: 'Manage content', commands: contentTree },
  snapshots: {
    summary: 'Manage snapshots',
    aliases: ['snapshot'],
    flags: {
      snapshotter: {
        kind: 'one',
        variable: 'CONTAINERD_SNAPSHOTTER',
        help: 'Snapshotter name. Empty value stands for the default value.',
      },
    },
    commands: snapshotsTree,
  },
  leases: { summary: 'Manage leases', commands: leases },
  namespaces: { summary: 'Manage namespaces', aliases: ['namespace', 'ns'], commands: namespaces },
  gc: { summary: 'Look into the garbage collector', commands: gc },
  events: {
    summary: 'Display events as they come, and those that were',
    aliases: ['event'],
    load: async () => (await import('./commands/events.ts')).events,
  },
  plugins: { summary: "Provide information about the daemon's plugins", aliases: ['plugin'], commands: plugins },
  version: {
    summary: 'Print the client and server versions',
    load: async () => (await import('./commands/server.ts')).version,
  },
  info: { summary: 'Print the server info', load: async () => (await import('./commands/server.ts')).info },
  deprecations: {
    summary: 'Look for deprecated features in use',
    commands: {
      list: {
        summary: 'Print warnings for deprecations',
        load: async () => (await import('./commands/server.ts')).deprecations,
      },
    },
  },
  oci: {
    summary: 'OCI tools',
    commands: {
      spec: {
        summary: 'See the output of the default OCI spec',
        load: async () => (await import('./commands/oci-spec.ts')).spec,
      },
    },
  },
  install: {
    summary: 'Install a new package',
    load: async () => (await import('./commands/install.ts')).install,
  },
  pprof: {
    summary: 'Profile a daemon that is written in Go, such as containerd',
    flags: {
      'debug-socket': {
        kind: 'one',
        short: 'd',
        fallback: '/run/containerd/debug.sock',
        help: "Path of the daemon's debug socket",
      },
    },
    commands: pprof,
  },
  ...(shim && { shim }),
  completion: {
    summary: 'Print a completion script for a shell',
    load: async () => (await import('./commands/completion.ts')).completion,
  },
  __complete: {
    summary: 'Print what a command line may become',
    hidden: true,
    load: async () => (await import('./commands/completion.ts')).complete,
  },
};
