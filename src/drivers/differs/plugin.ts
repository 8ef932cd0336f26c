import type { Plugin } from '#core/plugins.ts';
import { TarDiffer } from './differ.ts';
import type { StreamProcessor } from './stream-processors.ts';

/** The programs of `[stream_processors]`, which the daemon has checked and adds to the plugin's own table. */
export interface DifferConfig {
  readonly streamProcessors: readonly StreamProcessor[];
}

/** Unpacks tar layers and makes them, under the name of containerd's own. */
export const differPlugin: Plugin<'differ', DifferConfig> = {
  kind: 'differ',
  id: 'walking',
  parseConfig: (raw) => ({ streamProcessors: [], ...(raw as Partial<DifferConfig>) }),
  start: ({ state }, { streamProcessors }) => TarDiffer.start(state, streamProcessors),
};
