import type { Group, Leaf, Tree } from './command.ts';

const containers: Tree = {
  create: {
    summary: 'Create container',
    load: async () => (await import('./commands/containers-create.ts')).create,
  },
  delete: {
    summary: 'Delete one or more existing containers',
    aliases: ['del', 'remove', 'rm'],
    load: async () => (await import('./commands/containers.ts')).remove,
  },
  info: { summary: 'Get info about a container', load: async () => (await import('./commands/containers.ts')).info },
  list: {
    summary: 'List containers',
    aliases: ['ls'],
    load: async () => (await import('./commands/containers.ts')).list,
  },
  label: {
    summary: 'Set and clear labels for a container',
    load: async () => (await import('./commands/containers.ts')).label,
  },
  checkpoint: {
    summary: 'Checkpoint a container',
    load: async () => (await import('./commands/containers-checkpoint.ts')).checkpoint,
  },
  restore: {
    summary: 'Restore a container from checkpoint',
    load: async () => (await import('./commands/containers-restore.ts')).restore,
  },
};

const tasks: Tree = {
  attach: {
    summary: 'Attach to the IO of a running container',
    load: async () => (await import('./commands/tasks-attach.ts')).attach,
  },
  checkpoint: {
    summary: 'Checkpoint a container',
    load: async () => (await import('./commands/tasks-checkpoint.ts')).checkpoint,
  },
  delete: {
    summary: 'Delete one or more tasks',
    aliases: ['del', 'remove', 'rm'],
    load: async () => (await import('./commands/tasks.ts')).remove,
  },
  exec: {
    summary: 'Execute additional processes in an existing container',
    load: async () => (await import('./commands/tasks-exec.ts')).exec,
  },
  list: { summary: 'List tasks', aliases: ['ls'], load: async () => (await import('./commands/tasks.ts')).list },
  kill: {
    summary: 'Signal a container (default: SIGTERM)',
    load: async () => (await import('./commands/tasks-kill.ts')).kill,
  },
  metrics: {
    summary: 'Get a single data point of metrics for a task with the built-in Linux runtime',
    aliases: ['metric'],
    load: async () => (await import('./commands/tasks-metrics.ts')).metrics,
  },
  pause: { summary: 'Pause an existing container', load: async () => (await import('./commands/tasks.ts')).pause },
  ps: { summary: 'List processes for container', load: async () => (await import('./commands/tasks.ts')).ps },
  resume: { summary: 'Resume a paused container', load: async () => (await import('./commands/tasks.ts')).resume },
  start: {
    summary: 'Start a container that has been created',
    load: async () => (await import('./commands/tasks-start.ts')).start,
  },
};

const sandboxes: Tree = {
  run: {
    summary: 'Run a new sandbox',
    aliases: ['create', 'c', 'r'],
    load: async () => (await import('./commands/sandboxes.ts')).run,
  },
  list: {
    summary: 'List sandboxes',
    aliases: ['ls'],
    load: async () => (await import('./commands/sandboxes.ts')).list,
  },
  remove: {
    summary: 'Remove sandboxes',
    aliases: ['rm'],
    load: async () => (await import('./commands/sandboxes.ts')).remove,
  },
  info: {
    summary: 'Get info about a sandbox',
    aliases: ['i'],
    load: async () => (await import('./commands/sandboxes.ts')).info,
  },
};

const profile = (name: string, summary: string): Leaf => ({
  summary,
  load: async () => (await import('./commands/shim.ts')).shimProfiles[name]!,
});

const shim: Tree = {
  delete: {
    summary: 'Delete a container with a task',
    load: async () => (await import('./commands/shim.ts')).remove,
  },
  exec: {
    summary: "Exec a new process in the task's container",
    load: async () => (await import('./commands/shim.ts')).exec,
  },
  start: { summary: 'Start a container with a task', load: async () => (await import('./commands/shim.ts')).start },
  state: {
    summary: 'Get the state of all main process of the task',
    load: async () => (await import('./commands/shim.ts')).state,
  },
  shutdown: {
    summary: 'Shutdown shim if there is no active container',
    load: async () => (await import('./commands/shim.ts')).shutdown,
  },
  pprof: {
    summary: 'Provide golang pprof outputs for containerd-shim',
    commands: {
      block: profile('block', 'Goroutine blocking profile'),
      goroutines: profile('goroutines', 'Print goroutine stack dump'),
      heap: profile('heap', 'Dump heap profile'),
      profile: profile('profile', 'CPU profile'),
      threadcreate: profile('threadcreate', 'Goroutine thread creating profile'),
      trace: profile('trace', 'Collect execution trace'),
    },
  },
};

/** The commands around containers: what they are and where they are loaded from. */
export const containerTree: Readonly<
  Partial<Record<'containers' | 'run' | 'tasks' | 'sandboxes' | 'shim', Leaf | Group>>
> = {
  containers: { summary: 'Manage containers', aliases: ['c', 'container'], commands: containers },
  run: { summary: 'Run a container', load: async () => (await import('./commands/run.ts')).run },
  tasks: { summary: 'Manage tasks', aliases: ['t', 'task'], commands: tasks },
  sandboxes: { summary: 'Manage sandboxes', aliases: ['sandbox', 'sb', 's'], commands: sandboxes },
  shim: {
    summary: 'Interact with a shim directly',
    flags: {
      id: { kind: 'one', help: 'shim ID' },
      'shim-address': { kind: 'one', help: 'shim address (default: computed from shim ID)' },
    },
    commands: shim,
  },
};
