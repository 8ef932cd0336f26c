import { isAbsolute } from 'node:path';
import { invalid } from '#base/errors.ts';
import { nearest } from '#base/nearest.ts';
import type { Plugin } from '#core/plugins.ts';
import { defaultDockerConfig } from './docker-config.ts';
import { defaultConfigDirs, RegistryClient } from './registry.ts';

/** `[plugins]` section of the registry. */
export interface RegistryConfig {
  /** Directories with hosts.toml files, in order. */
  readonly configDirs: readonly string[];
  /** Docker's config.json. */
  readonly dockerConfig: string;
}

const keys = ['config_path', 'docker_config'];

/** `config_path` is containerd's key: directories with colons between, or a list of them. */
export function parseRegistryConfig(raw: unknown): RegistryConfig {
  const table = (raw ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof table !== 'object' || Array.isArray(table)) throw invalid('registry: must be a table');
  for (const key of Object.keys(table)) {
    const meant = keys.includes(key) ? undefined : nearest(key, keys);
    if (meant !== undefined) throw invalid(`registry: unknown key "${key}": did you mean ${meant}?`);
  }
  const { config_path: path = '', docker_config: dockerConfig = '' } = table;
  const dirs = typeof path === 'string' ? path.split(':').filter((dir) => dir !== '') : path;
  const isPaths = Array.isArray(dirs) && dirs.every((dir) => typeof dir === 'string' && isAbsolute(dir));
  if (!isPaths) throw invalid('registry: config_path must be absolute directories, as a list or with colons between');
  if (typeof dockerConfig !== 'string' || (dockerConfig !== '' && !isAbsolute(dockerConfig))) {
    throw invalid('registry: docker_config must be the absolute path of a config.json');
  }
  return {
    configDirs: dirs.length === 0 ? defaultConfigDirs : (dirs as string[]),
    dockerConfig: dockerConfig === '' ? defaultDockerConfig() : dockerConfig,
  };
}

export const registryPlugin: Plugin<'registry', RegistryConfig> = {
  kind: 'registry',
  id: 'oci',
  parseConfig: parseRegistryConfig,
  start: ({ logger, signal }, config) => {
    const client = new RegistryClient({ ...config, logger });
    signal.addEventListener('abort', () => client[Symbol.dispose](), { once: true });
    return Promise.resolve(client);
  },
};
