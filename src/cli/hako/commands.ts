import type { Command } from '../command.ts';

export interface Entry {
  readonly summary: string;
  /** Loaded only when it is the one that was asked for: every module costs start-up time. */
  readonly load: () => Promise<Command>;
}

const containerCommands: Readonly<Record<string, Entry>> = {
  run: {
    summary: 'Create and run a new container from an image',
    load: async () => (await import('./commands/run.ts')).run,
  },
  create: { summary: 'Create a new container', load: async () => (await import('./commands/create.ts')).create },
  start: {
    summary: 'Start one or more stopped containers',
    load: async () => (await import('./commands/start.ts')).start,
  },
  attach: {
    summary: 'Attach to the streams of a running container',
    load: async () => (await import('./commands/attach.ts')).attach,
  },
  exec: {
    summary: 'Execute a command in a running container',
    load: async () => (await import('./commands/exec.ts')).exec,
  },
  ps: { summary: 'List containers', load: async () => (await import('./commands/ps.ts')).ps },
  logs: { summary: 'Fetch the logs of a container', load: async () => (await import('./commands/logs.ts')).logs },
  stop: {
    summary: 'Stop one or more running containers',
    load: async () => (await import('./commands/lifecycle.ts')).stop,
  },
  restart: {
    summary: 'Restart one or more containers',
    load: async () => (await import('./commands/lifecycle.ts')).restart,
  },
  kill: {
    summary: 'Kill one or more running containers',
    load: async () => (await import('./commands/lifecycle.ts')).kill,
  },
  pause: {
    summary: 'Pause all processes within one or more containers',
    load: async () => (await import('./commands/lifecycle.ts')).pause,
  },
  unpause: {
    summary: 'Unpause all processes within one or more containers',
    load: async () => (await import('./commands/lifecycle.ts')).unpause,
  },
  rm: { summary: 'Remove one or more containers', load: async () => (await import('./commands/lifecycle.ts')).rm },
  wait: {
    summary: 'Block until containers stop, then print their exit codes',
    load: async () => (await import('./commands/lifecycle.ts')).wait,
  },
  rename: { summary: 'Rename a container', load: async () => (await import('./commands/lifecycle.ts')).rename },
  top: {
    summary: 'Display the running processes of a container',
    load: async () => (await import('./commands/look.ts')).top,
  },
  port: { summary: 'List port mappings of a container', load: async () => (await import('./commands/look.ts')).port },
};

const imageCommands: Readonly<Record<string, Entry>> = {
  pull: { summary: 'Download an image from a registry', load: async () => (await import('./commands/pull.ts')).pull },
  push: { summary: 'Upload an image to a registry', load: async () => (await import('./commands/pull.ts')).push },
  images: { summary: 'List images', load: async () => (await import('./commands/images.ts')).images },
  rmi: { summary: 'Remove one or more images', load: async () => (await import('./commands/images.ts')).rmi },
  tag: {
    summary: 'Create a tag that refers to an image',
    load: async () => (await import('./commands/images.ts')).tag,
  },
  history: {
    summary: 'Show the history of an image',
    load: async () => (await import('./commands/images.ts')).history,
  },
};

const systemCommands: Readonly<Record<string, Entry>> = {
  inspect: {
    summary: 'Return low-level information on containers and images',
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  events: {
    summary: 'Get real time events from the daemon',
    load: async () => (await import('./commands/look.ts')).events,
  },
  info: { summary: 'Display system-wide information', load: async () => (await import('./commands/system.ts')).info },
  version: {
    summary: 'Show the versions of client and daemon',
    load: async () => (await import('./commands/system.ts')).version,
  },
};

/** The commands by what they are about, in the order in which the help shows them. */
export const sections: Readonly<Record<string, Readonly<Record<string, Entry>>>> = {
  Containers: containerCommands,
  Images: imageCommands,
  System: systemCommands,
};

export const topLevel: Readonly<Record<string, Entry>> = { ...containerCommands, ...imageCommands, ...systemCommands };

const inspectContainer: Entry = {
  summary: 'Display detailed information on containers',
  load: async () => (await import('./commands/inspect.ts')).inspectContainer,
};
const inspectImage: Entry = {
  summary: 'Display detailed information on images',
  load: async () => (await import('./commands/inspect.ts')).inspectImage,
};

/** `hako container ls` and its like. */
export const groups: Readonly<
  Record<string, { readonly summary: string; readonly commands: Readonly<Record<string, Entry>> }>
> = {
  container: {
    summary: 'Manage containers',
    commands: {
      ...containerCommands,
      ls: containerCommands['ps']!,
      list: containerCommands['ps']!,
      inspect: inspectContainer,
    },
  },
  image: {
    summary: 'Manage images',
    commands: {
      ls: imageCommands['images']!,
      list: imageCommands['images']!,
      rm: imageCommands['rmi']!,
      inspect: inspectImage,
      ...Object.fromEntries(['pull', 'push', 'tag', 'history'].map((name) => [name, imageCommands[name]!])),
    },
  },
  system: {
    summary: 'Manage the daemon',
    commands: { info: systemCommands['info']!, events: systemCommands['events']! },
  },
};
