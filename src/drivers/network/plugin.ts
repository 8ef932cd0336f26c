import path from 'node:path';
import { invalid } from '#base/errors.ts';
import { nearest } from '#base/nearest.ts';
import type { Plugin } from '#core/plugins.ts';
import { CniDriver, type CniDriverConfig } from './network.ts';
import { parseSubnet } from './subnets.ts';

const keys = ['bin_dirs', 'bridge', 'subnet', 'ip_masq'];

/** Connects containers by CNI plugins. */
export const networkPlugin: Plugin<'network', CniDriverConfig> = {
  kind: 'network',
  id: 'cni',
  parseConfig: parseNetworkConfig,
  // Network namespaces have a place that is known by name, as ip(8) has: STATE/netns.
  start: ({ root, state, logger, signal }, config) =>
    CniDriver.start({ root, netns: path.join(path.dirname(state), 'netns'), logger, signal, config }),
};

/** Reads the plugin's table. invalid-argument for a key that is not there, or a value of the wrong kind. */
export function parseNetworkConfig(raw: unknown): CniDriverConfig {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw invalid('want a table');
  const table = raw as Record<string, unknown>;
  for (const key of Object.keys(table)) {
    if (keys.includes(key)) continue;
    const near = nearest(key, keys);
    throw invalid(
      `key "${key}" is not known${near === undefined ? '' : `: did you mean "${near}"?`} (known: ${keys.join(', ')})`,
    );
  }
  const { bin_dirs: directories, bridge, subnet, ip_masq: masquerade = true } = table;
  const isPath = (value: unknown): boolean => typeof value === 'string' && value.startsWith('/');
  if (directories !== undefined && !(Array.isArray(directories) && directories.every(isPath)))
    throw invalid('key "bin_dirs": want an array of absolute paths');
  // linux/if.h: 15 characters, and no slash or blank.
  if (bridge !== undefined && !(typeof bridge === 'string' && /^[a-zA-Z0-9_.-]{1,15}$/.test(bridge)))
    throw invalid('key "bridge": want the name of an interface, at most 15 characters');
  if (subnet !== undefined && typeof subnet !== 'string')
    throw invalid('key "subnet": want an IPv4 network such as 10.88.0.0/16');
  if (typeof masquerade !== 'boolean') throw invalid('key "ip_masq": want true or false');
  return {
    masquerade,
    ...(directories === undefined ? {} : { directories: directories as string[] }),
    ...(bridge === undefined ? {} : { bridge }),
    ...(subnet === undefined ? {} : { subnet: parseSubnet(subnet) }),
  };
}
