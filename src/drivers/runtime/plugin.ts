import path from 'node:path';
import { invalid, messageOf } from '#base/errors.ts';
import { home } from '#base/home.ts';
import type { Plugin } from '#core/plugins.ts';
import { ShimRuntime } from './shim-runtime.ts';

export interface RuntimeConfig {
  /** Path of `hako-shim`. */
  readonly shim: string;
  /** OCI runtime of containers that name none. */
  readonly binary: string;
}

/** The launcher that lies in the same checkout or package. */
const ownShim = path.join(home, 'bin/hako-shim');

const settings = { shim: ownShim, binary: 'runc' };

function parseConfig(raw: unknown): RuntimeConfig {
  if (typeof raw !== 'object' || raw === null) throw invalid('is not a table');
  for (const [key, value] of Object.entries(raw)) {
    if (!(key in settings)) throw invalid(`"${key}" is not one of ${Object.keys(settings).join(', ')}`);
    if (typeof value !== 'string' || value === '') throw invalid(`"${key}" must be the path or name of a program`);
  }
  const config = { ...settings, ...raw };
  if (!path.isAbsolute(config.shim)) throw invalid(`"shim" must be an absolute path, "${config.shim}" is not`);
  return config;
}

/** Those that have started, by their state directories. */
const runtimes = new Map<string, ShimRuntime>();

/** Makes containers through `hako-shim`, which outlives the daemon. */
export const runtimePlugin: Plugin<'runtime', RuntimeConfig> = {
  kind: 'runtime',
  id: 'task',
  parseConfig,
  start: async ({ state, logger, signal }, config) => {
    const runtime = new ShimRuntime({ state, shimCommand: [config.shim], logger, defaultBinary: config.binary });
    runtimes.set(state, runtime);
    const end = (): void => {
      runtime.close();
      if (runtimes.get(state) === runtime) runtimes.delete(state);
    };
    signal.addEventListener('abort', end, { once: true });
    // Nobody waits for it: the first container that comes sooner does, and hears what failed.
    runtime.prewarm(signal).catch((error: unknown) => {
      if (!signal.aborted) logger.log('warn', 'hako-shim did not start in advance', { error: messageOf(error) });
    });
    return runtime;
  },
};

/** Sandboxes of the same shim: it starts after the runtime, whose state directory it shares. */
export const shimSandboxerPlugin: Plugin<'sandboxer', null> = {
  kind: 'sandboxer',
  id: 'shim',
  parseConfig: () => null,
  start: async ({ state }) => runtimes.get(state)?.sandboxer ?? { skip: 'the runtime did not start' },
};
