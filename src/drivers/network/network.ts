import { existsSync } from 'node:fs';
import path from 'node:path';
import { cleanupSignal } from '#base/call.ts';
import { HakoError, messageOf } from '#base/errors.ts';
import { Locks } from '#base/locks.ts';
import type { Logger } from '#base/log.ts';
import type { NetworkDriver, NetworkInfo, NetworkRequest, NetworkStatus, PortMapping } from '#core/network.ts';
import { Attachments, type Attachment } from './attachments.ts';
import { chooseBridge, removeBridge, type Bridge } from './bridge.ts';
import { Cni, pluginDirectories, type CniConfig, type CniResult } from './cni.ts';
import { Netns } from './netns.ts';
import { choosePorts } from './ports.ts';
import { formatSubnet, gatewayOf, type Subnet } from './subnets.ts';

export interface CniDriverConfig {
  readonly directories?: readonly string[];
  /** Fixed by the configuration; otherwise chosen so that it does not clash, and kept. */
  readonly bridge?: string;
  readonly subnet?: Subnet;
  readonly masquerade: boolean;
}

export interface CniDriverParts {
  /** Kept over reboots: attachments, addresses, the choice of bridge and subnet. */
  readonly root: string;
  /** Not kept: where the network namespaces are. */
  readonly netns: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly config: CniDriverConfig;
}

const network = 'bridge';
const interfaceName = 'eth0';
/** Understood by every plugin since 2019, 1.x ones included. */
const cniVersion = '0.4.0';

/** The default bridge, by the bridge, host-local, portmap and firewall plugins. */
export class CniDriver implements NetworkDriver {
  readonly #parts: CniDriverParts;
  readonly #cni: Cni;
  readonly #netns: Netns;
  readonly #attachments: Attachments;
  /** By container; and one for the choice of ports. */
  readonly #locks = new Locks();
  #warned = false;

  private constructor(parts: CniDriverParts) {
    this.#parts = parts;
    this.#cni = new Cni(parts.config.directories ?? pluginDirectories);
    this.#netns = new Netns(parts.netns);
    this.#attachments = new Attachments(path.join(parts.root, 'attachments'));
    parts.signal.addEventListener('abort', () => this.#close(), { once: true });
  }

  /** Missing plugins are told when a network is asked for: containers without one need none. */
  static async start(parts: CniDriverParts): Promise<CniDriver> {
    return new CniDriver(parts);
  }

  createNetns(namespace: string, id: string, signal: AbortSignal): Promise<string> {
    return this.#netns.create(namespace, id, signal);
  }

  removeNetns(namespace: string, id: string): Promise<void> {
    return this.#netns.remove(namespace, id);
  }

  async attach(request: NetworkRequest, signal: AbortSignal): Promise<NetworkStatus> {
    const { namespace, id } = request;
    if (request.network !== network) throw new HakoError('not-found', `network ${request.network} not found`);
    using _lock = await this.#locks.hold(`${namespace}/${id}`, signal);
    if (this.#attachments.find(namespace, id) !== undefined) {
      throw new HakoError('already-exists', `container "${id}" is attached to a network already`);
    }
    this.#cni.require(['bridge', 'host-local']);
    const attachment = await this.#begin(request, signal);
    try {
      return await this.#add(attachment, request, signal);
    } catch (error) {
      await this.#delete(this.#attachments.find(namespace, id) ?? attachment, cleanupSignal()).catch(
        (reason: unknown) => {
          this.#parts.logger.log('warn', 'a network that failed was not given back', {
            namespace,
            id,
            error: messageOf(reason),
          });
        },
      );
      throw error;
    }
  }

  /** Writes down what is about to be asked for. Ports are chosen under a lock, for the choice to be nobody else's. */
  async #begin(request: NetworkRequest, signal: AbortSignal): Promise<Attachment> {
    using _ports = await this.#locks.hold('ports', signal);
    const taken = this.#attachments.list().flatMap((attachment) => attachment.ports);
    const ports = await choosePorts(request.ports, taken);
    const { namespace, id, netns } = request;
    const attachment: Attachment = { namespace, id, netns, ports, plugins: this.#configs(request, ports) };
    this.#attachments.put(attachment);
    return attachment;
  }

  /** Calls the plugins one after the other, each with the result of the one before (CNI spec, section 4). */
  async #add(attachment: Attachment, request: NetworkRequest, signal: AbortSignal): Promise<NetworkStatus> {
    let result: CniResult = {};
    for (const [at, config] of attachment.plugins.entries()) {
      const given = at === 0 ? config : { ...config, prevResult: result };
      result = await this.#cni.run(given, { command: 'ADD', ...callOf(attachment) }, signal);
      // Killed in the next plugin, its DEL must know what this one gave: firewall finds its rules by the address alone.
      this.#attachments.put({ ...attachment, result });
    }
    const status = statusOf(result, request, attachment.ports);
    this.#attachments.put({ ...attachment, result, status });
    return status;
  }

  async detach(namespace: string, id: string, signal: AbortSignal): Promise<void> {
    using _lock = await this.#locks.hold(`${namespace}/${id}`, signal);
    const attachment = this.#attachments.find(namespace, id);
    if (attachment !== undefined) await this.#delete(attachment, signal);
  }

  /** Every plugin is asked, whatever the others say; while one has failed, the attachment is kept to be tried again. */
  async #delete(attachment: Attachment, signal: AbortSignal): Promise<void> {
    let failure: Error | undefined;
    const netns = existsSync(attachment.netns) ? attachment.netns : '';
    for (const config of attachment.plugins.toReversed()) {
      const given = attachment.result === undefined ? config : { ...config, prevResult: attachment.result };
      try {
        await this.#cni.run(given, { command: 'DEL', ...callOf(attachment), netns }, signal);
      } catch (error) {
        failure ??= error instanceof Error ? error : new HakoError('unknown', String(error));
      }
    }
    if (failure !== undefined) throw failure;
    this.#attachments.remove(attachment.namespace, attachment.id);
  }

  status(namespace: string, id: string): NetworkStatus | undefined {
    return this.#attachments.find(namespace, id)?.status;
  }

  async list(): Promise<{ namespace: string; id: string }[]> {
    const found = new Map((await this.#netns.list()).map((one) => [`${one.namespace}/${one.id}`, one]));
    for (const { namespace, id } of this.#attachments.list()) found.set(`${namespace}/${id}`, { namespace, id });
    return [...found.values()];
  }

  async networks(): Promise<NetworkInfo[]> {
    const { bridge, subnet } = this.#bridge();
    return [
      {
        name: network,
        driver: 'bridge',
        bridge,
        subnet: formatSubnet(subnet),
        gateway: gatewayOf(subnet),
        masquerade: this.#masquerades(),
      },
    ];
  }

  #masquerades(): boolean {
    return this.#parts.config.masquerade && findProgram('iptables') !== undefined;
  }

  #configs(request: NetworkRequest, ports: readonly PortMapping[]): CniConfig[] {
    const { bridge, subnet } = this.#bridge();
    const iptables = findProgram('iptables') !== undefined;
    if (!iptables) this.#missIptables(ports);
    const common = { cniVersion, name: network };
    const wishes = {
      ...(request.ipAddress === undefined ? {} : { ips: [`${request.ipAddress}/${subnet.bits}`] }),
      ...(request.macAddress === undefined ? {} : { mac: request.macAddress }),
    };
    const configs: CniConfig[] = [
      {
        ...common,
        type: 'bridge',
        bridge,
        isGateway: true,
        // A subnet that was chosen anew replaces the old one's address.
        forceAddress: true,
        ipMasq: this.#masquerades(),
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: path.join(this.#parts.root, 'addresses'),
          ranges: [[{ subnet: formatSubnet(subnet) }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
        ...(Object.keys(wishes).length === 0 ? {} : { capabilities: { ips: true, mac: true }, runtimeConfig: wishes }),
      },
    ];
    if (ports.length > 0) {
      this.#cni.require(['portmap']);
      configs.push({
        ...common,
        type: 'portmap',
        snat: true,
        capabilities: { portMappings: true },
        runtimeConfig: { portMappings: ports.map(portConfig) },
      });
    }
    // Where the host drops what it forwards (Docker and ufw do that), containers need a word of permission.
    if (iptables && this.#cni.find('firewall') !== undefined)
      configs.push({ ...common, type: 'firewall', backend: 'iptables' });
    return configs;
  }

  #missIptables(ports: readonly PortMapping[]): void {
    if (ports.length > 0)
      throw new HakoError(
        'failed-precondition',
        'iptables is not installed: ports cannot be published (Debian package iptables)',
      );
    if (!this.#parts.config.masquerade || this.#warned) return;
    this.#warned = true;
    this.#parts.logger.log(
      'warn',
      'iptables is not installed: containers on the bridge reach this host and each other, but not beyond',
    );
  }

  #bridge(): Bridge {
    const { config, root } = this.#parts;
    return chooseBridge(config, path.join(root, 'bridge.json'), this.#attachments.list().length > 0);
  }

  /** A daemon that ends leaves no bridge behind, unless it is somebody's who named it, or containers are on it. */
  #close(): void {
    this.#netns.close();
    const { config, root, logger } = this.#parts;
    if (config.bridge !== undefined || this.#attachments.list().length > 0) return;
    try {
      removeBridge(path.join(root, 'bridge.json'));
    } catch (error) {
      logger.log('warn', 'the bridge was not removed', { error: messageOf(error) });
    }
  }
}

/** Our ids are unique in a namespace, plugins' everywhere. */
const callOf = ({
  namespace,
  id,
  netns,
}: Attachment): { containerId: string; netns: string; interfaceName: string } => ({
  containerId: `${namespace}-${id}`,
  netns,
  interfaceName,
});

const portConfig = ({ hostIp, hostPort, containerPort, protocol }: PortMapping): Record<string, unknown> => ({
  hostPort,
  containerPort,
  protocol,
  ...(hostIp === '' ? {} : { hostIP: hostIp }),
});

function statusOf(result: CniResult, request: NetworkRequest, ports: readonly PortMapping[]): NetworkStatus {
  const at = (result.interfaces ?? []).findIndex(
    ({ name, sandbox }) => name === interfaceName && (sandbox ?? '') !== '',
  );
  const ip = (result.ips ?? []).find((one) => one.interface === at) ?? result.ips?.[0];
  const [ipAddress = '', bits = '0'] = (ip?.address ?? '').split('/');
  return {
    network: request.network,
    interfaceName,
    ipAddress,
    prefixLength: Number(bits),
    gateway: ip?.gateway ?? '',
    macAddress: result.interfaces?.[at]?.mac ?? '',
    dns: result.dns?.nameservers ?? [],
    ports,
  };
}

function findProgram(name: string): string | undefined {
  const directories = (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin');
  return directories
    .map((directory) => path.join(directory, name))
    .find((file) => file.startsWith('/') && existsSync(file));
}
