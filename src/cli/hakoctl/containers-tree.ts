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

/** The commands around containers: what they are and where they are loaded from. */
export const containerTree: Readonly<
  Partial<Record<'containers' | 'run' | 'tasks' | 'sandboxes' | 'shim', Leaf | Group>>
> = {
  containers: { summary: 'Manage containers', aliases: ['c', 'container'], commands: containers },
  run: { summary: 'Run a container', load: async () => (await import('./commands/run.ts')).run },
  tasks: { summary: 'Manage tasks', aliases: ['t', 'task'], commands: tasks },
};
