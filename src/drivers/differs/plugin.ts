import type { Plugin } from '#core/plugins.ts';
import { TarDiffer } from './differ.ts';

/** Unpacks tar layers, under the name of containerd's own. It has no settings. */
export const differPlugin: Plugin<'differ', null> = {
  kind: 'differ',
  id: 'walking',
  parseConfig: () => null,
  start: ({ state }) => TarDiffer.start(state),
};
