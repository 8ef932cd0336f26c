import type { Tree } from './command.ts';

export const imagesTree: Tree = {
  check: {
    summary: 'Check that all content of images is here',
    load: async () => (await import('./commands/images-check.ts')).check,
  },
  inspect: {
    summary: 'Inspect an image',
    aliases: ['i'],
    load: async () => (await import('./commands/images-inspect.ts')).inspect,
  },
  list: {
    summary: 'List images known to the daemon',
    aliases: ['ls'],
    load: async () => (await import('./commands/images.ts')).list,
  },
  prune: { summary: 'Remove unused images', load: async () => (await import('./commands/images-remove.ts')).prune },
  delete: {
    summary: 'Remove one or more images by reference',
    aliases: ['del', 'remove', 'rm'],
    load: async () => (await import('./commands/images-remove.ts')).remove,
  },
  label: {
    summary: 'Set and clear labels for an image',
    load: async () => (await import('./commands/images-remove.ts')).label,
  },
  usage: {
    summary: 'Display usage of snapshots for a given image',
    load: async () => (await import('./commands/images-check.ts')).usage,
  },
};
