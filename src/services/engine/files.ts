import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Container } from '#core/containers.ts';
import { hostsFile, resolvConf } from '../spec/files.ts';
import { networkModeOf } from './config.ts';
import { textsOf } from './fields.ts';
import type { EngineHouse } from './house.ts';
import type { DockerRecord } from './record.ts';

/** Files of ours that are mounted over a container's own. */
export interface ContainerFiles {
  readonly directory: string;
  readonly hostname: string;
  readonly hosts: string;
  readonly resolvConf: string;
}

export function filesOf(house: Pick<EngineHouse, 'root'>, namespace: string, id: string): ContainerFiles {
  const directory = path.join(house.root, 'containers', namespace, id);
  return {
    directory,
    hostname: path.join(directory, 'hostname'),
    hosts: path.join(directory, 'hosts'),
    resolvConf: path.join(directory, 'resolv.conf'),
  };
}

/** Writes them anew; before every start, since the host's resolvers and the container's address may have changed. */
export async function writeFiles(
  house: EngineHouse,
  container: Pick<Container, 'id'> & { readonly namespace: string },
  record: Pick<DockerRecord, 'config' | 'hostConfig'>,
  addresses: readonly string[],
): Promise<ContainerFiles> {
  const files = filesOf(house, container.namespace, container.id);
  const { config, hostConfig } = record;
  const hostNetwork = networkModeOf(hostConfig).kind === 'host';
  await mkdir(files.directory, { recursive: true, mode: 0o711 });
  const host = await readHostResolvers(hostNetwork);
  const extra = textsOf(hostConfig, 'ExtraHosts');
  const { Hostname: hostname, Domainname: domainname } = config;
  await replace(files.hostname, `${hostname}\n`);
  await replace(
    files.hosts,
    hostNetwork ? await hostHosts(extra) : hostsFile({ hostname, domainname, addresses, extra }),
  );
  await replace(
    files.resolvConf,
    resolvConf({
      host,
      hostNetwork,
      servers: textsOf(hostConfig, 'Dns'),
      search: textsOf(hostConfig, 'DnsSearch'),
      options: textsOf(hostConfig, 'DnsOptions'),
    }),
  );
  return files;
}

/** Gives a container the files of the one whose network it shares. Those of another door's container are its own affair. */
export async function copyFiles(
  house: EngineHouse,
  container: { readonly id: string; readonly namespace: string },
  from: string,
): Promise<void> {
  const mine = filesOf(house, container.namespace, container.id);
  const theirs = filesOf(house, container.namespace, from);
  for (const name of ['hostname', 'hosts', 'resolvConf'] as const) {
    const text = await readFile(theirs[name], 'utf8').catch(() => undefined);
    if (text !== undefined) await replace(mine[name], text);
  }
}

export const removeFiles = (house: EngineHouse, namespace: string, id: string): Promise<void> =>
  rm(filesOf(house, namespace, id).directory, { recursive: true, force: true });

/** A reader, or a kill, finds the old text or the new one, never half of it. */
async function replace(file: string, text: string): Promise<void> {
  const fresh = `${file}.new`;
  await writeFile(fresh, text, { mode: 0o644 });
  await rename(fresh, file);
}

async function readHostResolvers(hostNetwork: boolean): Promise<string> {
  const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  // systemd-resolved puts itself on the loopback and keeps the real servers beside.
  if (hostNetwork || !/^nameserver\s+127\.0\.0\.53\s*$/m.test(text)) return text;
  return readFile('/run/systemd/resolve/resolv.conf', 'utf8').catch(() => text);
}

async function hostHosts(extra: readonly string[]): Promise<string> {
  const text = await readFile('/etc/hosts', 'utf8').catch(() => '127.0.0.1\tlocalhost\n');
  const added = hostsFile({ hostname: '', domainname: '', addresses: [], extra }).split('\n').slice(6).join('\n');
  return `${text.endsWith('\n') ? text : `${text}\n`}${added}`;
}
