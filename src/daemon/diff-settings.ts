import { HakoError, invalid } from '#base/errors.ts';
import type { Differ } from '#core/differs.ts';
import type { Config } from './config/schema.ts';

/** containerd's name for the service that asks the differs; here it is no plugin, but its table counts. */
export const diffService = 'io.containerd.service.v1.diff-service';
const walking = 'io.containerd.differ.v1.walking';

export interface DiffSettings {
  /** The differs to ask, in this order. */
  readonly order: readonly string[];
  readonly syncFs: boolean;
}

/** Checks `[plugins."io.containerd.service.v1.diff-service"]`. */
export function diffSettings(plugins: Config['plugins']): DiffSettings {
  const raw = (plugins[diffService] ?? {}) as { default?: unknown; sync_fs?: unknown };
  const { default: order = ['walking'], sync_fs: syncFs = false } = raw;
  if (!Array.isArray(order) || !order.every((id) => typeof id === 'string'))
    throw invalid(`[plugins.${JSON.stringify(diffService)}] default: want a list of differs such as ["walking"]`);
  if (typeof syncFs !== 'boolean')
    throw invalid(`[plugins.${JSON.stringify(diffService)}] sync_fs: want true or false`);
  return { order, syncFs };
}

/** The differs that are named, or failed-precondition. */
export const orderedDiffers = (order: readonly string[], differs: ReadonlyMap<string, Differ>): Differ[] =>
  order.map((id) => {
    const differ = differs.get(id);
    if (differ !== undefined) return differ;
    const there = [...differs.keys()].join(', ');
    throw new HakoError('failed-precondition', `needed differ not loaded: ${id} (there is ${there || 'none'})`);
  });

/** The tables of `[plugins]` with those of `[stream_processors]` where their programs are run. */
export function withStreamProcessors(config: Pick<Config, 'plugins' | 'stream_processors'>): Config['plugins'] {
  const programs = Object.entries(config.stream_processors).map(([id, one]) => ({ id, ...one }));
  for (const { id, path, returns, accepts } of programs) {
    if (path === '' || returns === '' || accepts.length === 0)
      throw invalid(`stream_processors.${id}: path, returns and accepts must all be given`);
  }
  return {
    ...config.plugins,
    [walking]: { ...(config.plugins[walking] as object | undefined), streamProcessors: programs },
  };
}
