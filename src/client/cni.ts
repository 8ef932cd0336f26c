import { spawn } from 'node:child_process';
import { access, constants, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { HakoError, messageOf } from '#base/errors.ts';

/** Where configurations and plugins are looked for. */
const configDirectory = '/etc/cni/net.d';
const pluginDirectories = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];
const interfaceName = 'eth0';

export interface NetworkMember {
  /** What the plugins call the container. */
  readonly id: string;
  /** Path of its network namespace; empty when that has gone. */
  readonly netns: string;
}

interface Plugin {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A list of plugins, each of which builds on what the one before it has made (CNI SPEC.md, "Network configuration"). */
interface Network {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly Plugin[];
}

/** Gives a container the interface of the machine's first configured network; disposing takes it away again. */
export async function joinNetwork(member: NetworkMember): Promise<AsyncDisposable> {
  const network = await firstNetwork();
  let result: unknown;
  try {
    for (const plugin of network.plugins) result = await call('ADD', network, plugin, member, result);
  } catch (error) {
    await leave(network, member, result).catch(() => {});
    throw error;
  }
  return { [Symbol.asyncDispose]: () => leave(network, member, result) };
}

/** Takes a container out of the network that it was given before. */
export const leaveNetwork = async (member: NetworkMember): Promise<void> =>
  leave(await firstNetwork(), member, undefined);

async function leave(network: Network, member: NetworkMember, result: unknown): Promise<void> {
  for (const plugin of network.plugins.toReversed()) await call('DEL', network, plugin, member, result);
}

async function firstNetwork(): Promise<Network> {
  const files = await readdir(configDirectory).catch(() => []);
  const [first] = files.filter((name) => /\.(conf|conflist|json)$/.test(name)).sort();
  if (first === undefined)
    throw new HakoError(
      'failed-precondition',
      `no network is configured: put a CNI configuration into ${configDirectory}`,
    );
  const path = join(configDirectory, first);
  try {
    const found = JSON.parse(await readFile(path, 'utf8')) as Partial<Network> & Partial<Plugin>;
    const { name = '', cniVersion = '0.3.1' } = found;
    const plugins = found.plugins ?? [found as Plugin];
    if (name === '' || plugins.some(({ type }) => typeof type !== 'string' || /[/\0]/.test(type)))
      throw new Error('it needs a name, and each plugin a type');
    return { name, cniVersion, plugins };
  } catch (error) {
    throw new HakoError('invalid-argument', `network configuration "${path}": ${messageOf(error)}`, error);
  }
}

async function call(
  command: 'ADD' | 'DEL',
  { name, cniVersion }: Network,
  plugin: Plugin,
  { id, netns }: NetworkMember,
  prevResult: unknown,
): Promise<unknown> {
  const child = spawn(await pathOf(plugin.type), [], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      ...process.env,
      CNI_COMMAND: command,
      CNI_CONTAINERID: id,
      CNI_NETNS: netns,
      CNI_IFNAME: interfaceName,
      CNI_PATH: pluginDirectories.join(':'),
      CNI_ARGS: 'IgnoreUnknown=1',
    },
  });
  const ended = new Promise<number>((resolve, reject) =>
    child.on('error', reject).on('close', (code) => resolve(code ?? 1)),
  );
  child.stdin
    .on('error', () => {})
    .end(JSON.stringify({ ...plugin, name, cniVersion, ...(prevResult === undefined ? {} : { prevResult }) }));
  const [said, code] = await Promise.all([text(child.stdout), ended]);
  const answer = parse(said) as { msg?: string; details?: string } | undefined;
  if (code === 0) return command === 'ADD' ? answer : undefined;
  const why = [answer?.msg, answer?.details].filter((part) => part !== undefined && part !== '').join(': ');
  throw new HakoError(
    'unknown',
    `network "${name}": plugin "${plugin.type}" failed: ${why === '' ? `exit code ${code}` : why}`,
  );
}

function parse(said: string): unknown {
  try {
    return JSON.parse(said);
  } catch {
    return undefined;
  }
}

async function pathOf(type: string): Promise<string> {
  for (const directory of pluginDirectories) {
    const path = join(directory, type);
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new HakoError('not-found', `network plugin "${type}": not found in ${pluginDirectories.join(', ')}`);
}
