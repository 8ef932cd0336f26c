import type { Tree } from './command.ts';

export const imagesTree: Tree = {
  check: {
    summary: 'Check that all content of images is here',
    load: async () => (await import('./commands/images-check.ts')).check,
  },
  export: {
    summary: 'Export images into an archive',
    load: async () => (await import('./commands/images-archive.ts')).exportImages,
  },
  import: {
    summary: 'Import images from an archive',
    load: async () => (await import('./commands/images-archive.ts')).importImages,
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
  mount: {
    summary: 'Mount an image to a target path',
    load: async () => (await import('./commands/images-mount.ts')).mountImage,
  },
  unmount: {
    summary: 'Unmount the image from the target',
    load: async () => (await import('./commands/images-mount.ts')).unmountImage,
  },
  pull: {
    summary: 'Pull an image from a registry',
    load: async () => (await import('./commands/images-pull.ts')).pull,
  },
  push: { summary: 'Push an image to a registry', load: async () => (await import('./commands/images-push.ts')).push },
  prune: { summary: 'Remove unused images', load: async () => (await import('./commands/images-remove.ts')).prune },
  delete: {
    summary: 'Remove one or more images by reference',
    aliases: ['del', 'remove', 'rm'],
    load: async () => (await import('./commands/images-remove.ts')).remove,
  },
  tag: { summary: 'Give an image another name', load: async () => (await import('./commands/images-push.ts')).tag },
  label: {
    summary: 'Set and clear labels for an image',
    load: async () => (await import('./commands/images-remove.ts')).label,
  },
  convert: {
    summary: 'Convert an image',
    load: async () => (await import('./commands/images-convert.ts')).convert,
  },
  usage: {
    summary: 'Display usage of snapshots for a given image',
    load: async () => (await import('./commands/images-check.ts')).usage,
  },
};
