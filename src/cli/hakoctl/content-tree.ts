import type { Tree } from './command.ts';

const prune: Tree = {
  references: {
    summary: 'Prune reference labels from the content store (of layers only)',
    load: async () => (await import('./commands/content-prune.ts')).references,
  },
};

export const contentTree: Tree = {
  active: {
    summary: 'Display active transfers',
    load: async () => (await import('./commands/content.ts')).active,
  },
  delete: {
    summary: 'Permanently delete one or more blobs',
    aliases: ['del', 'remove', 'rm'],
    load: async () => (await import('./commands/content.ts')).remove,
  },
  edit: {
    summary: 'Edit a blob and print the new digest',
    load: async () => (await import('./commands/content-edit.ts')).edit,
  },
  fetch: {
    summary: 'Fetch all content for an image',
    load: async () => (await import('./commands/content-fetch.ts')).fetch,
  },
  'fetch-object': {
    summary: 'Retrieve what a reference points at from a registry',
    load: async () => (await import('./commands/content-objects.ts')).fetchRemote,
  },
  'fetch-blob': {
    summary: 'Retrieve blobs from a registry',
    load: async () => (await import('./commands/content-objects.ts')).fetchBlob,
  },
  'push-object': {
    summary: 'Push an object to a registry',
    load: async () => (await import('./commands/content-objects.ts')).pushObject,
  },
  get: { summary: 'Get the data of a blob', load: async () => (await import('./commands/content.ts')).get },
  ingest: {
    summary: 'Accept content into the store',
    load: async () => (await import('./commands/content-edit.ts')).ingest,
  },
  list: {
    summary: 'List all blobs in the store',
    aliases: ['ls'],
    load: async () => (await import('./commands/content.ts')).list,
  },
  label: { summary: 'Add labels to content', load: async () => (await import('./commands/content.ts')).label },
  prune: { summary: 'Prune content from the content store', commands: prune },
};
