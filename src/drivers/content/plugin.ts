import type { Plugin } from '#core/plugins.ts';
import { FileContentStore } from './content.ts';

/** Keeps blobs as files below its root. It has no settings. */
export const contentPlugin: Plugin<'content', null> = {
  kind: 'content',
  id: 'content',
  parseConfig: () => null,
  start: ({ root }) => FileContentStore.start(root),
};
