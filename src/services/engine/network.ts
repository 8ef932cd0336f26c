import { codeOf, HakoError, invalid, messageOf } from '#base/errors.ts';
import type { Call } from '#base/call.ts';
import type { Container } from '#core/containers.ts';
import type { NetworkStatus } from '#core/network.ts';
import type { OciSpec } from '../spec/types.ts';
import { networkModeOf } from './config.ts';
import { objectOf, textOf, type Json } from './fields.ts';
import { copyFiles, writeFiles } from './files.ts';
import { ownCall, type EngineHouse } from './house.ts';
import { wantedPorts } from './ports.ts';
import { recordOf, type DockerRecord } from './record.ts';
import { isAlive, resolve, standingOf } from './resolve.ts';

/**
 * Connects a container that Docker's API made, whichever door starts it, and gives its spec with the network namespace
 * filled in. Leaves nothing when it fails. A container of another door brings its own network: its spec stays.
 */
export async function connect(
  house: EngineHouse,
  container: Container,
  spec: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const record = recordOf(container);
  if (record === undefined) return spec;
  const { namespace } = record;
  const named = { id: container.id, namespace };
  const mode = networkModeOf(record.hostConfig);
  if (mode.kind === 'container') {
    await copyFiles(house, named, joined(house, ownCall(house, namespace), mode.ref).id);
    return withNetns(spec, netnsOfContainer(house, ownCall(house, namespace), mode.ref));
  }
  if (mode.kind !== 'network') {
    await writeFiles(house, named, record, []);
    return spec;
  }
  const { netns, status } = await attach(house, namespace, container.id, record, mode.name, signal);
  await writeFiles(house, named, record, status.ipAddress === '' ? [] : [status.ipAddress]);
  return withNetns(spec, netns);
}

/** What was asked of the connection. Clients call the network as they called it in HostConfig: `default` for one. */
function endpointOf(hostConfig: Json, networkingConfig: Json, network: string): Json {
  const endpoints = objectOf(networkingConfig, 'EndpointsConfig');
  const asked = textOf(hostConfig, 'NetworkMode');
  return objectOf(endpoints, asked in endpoints ? asked : network);
}

/** An address of one's own needs a network with a subnet of one's own, as with Docker. */
export function checkEndpoint(hostConfig: Json, networkingConfig: Json): void {
  const mode = networkModeOf(hostConfig);
  if (mode.kind !== 'network' || mode.name !== 'bridge') return;
  const ipam = objectOf(endpointOf(hostConfig, networkingConfig, mode.name), 'IPAMConfig');
  if (textOf(ipam, 'IPv4Address') === '' && textOf(ipam, 'IPv6Address') === '') return;
  throw invalid('user specified IP address is supported on user defined networks only');
}

async function attach(
  house: EngineHouse,
  namespace: string,
  id: string,
  record: DockerRecord,
  network: string,
  signal: AbortSignal,
): Promise<{ netns: string; status: NetworkStatus }> {
  const driver = house.network;
  if (driver === undefined) {
    throw new HakoError(
      'failed-precondition',
      `network "${network}": no network driver started; use --network host or none, or see the log of the daemon`,
    );
  }
  // Whatever an earlier run left would make the plugins refuse.
  await driver.detach(namespace, id, signal);
  try {
    const netns = await driver.createNetns(namespace, id, signal);
    const endpoint = endpointOf(record.hostConfig, record.networkingConfig, network);
    const macAddress = textOf(endpoint, 'MacAddress');
    const ipAddress = textOf(objectOf(endpoint, 'IPAMConfig'), 'IPv4Address');
    const ports = wantedPorts(record.hostConfig, record.config);
    const request = { namespace, id, netns, network, hostname: record.config.Hostname, ports };
    const status = await driver.attach(
      { ...request, ...(ipAddress === '' ? {} : { ipAddress }), ...(macAddress === '' ? {} : { macAddress }) },
      signal,
    );
    return { netns, status };
  } catch (error) {
    await disconnect(house, namespace, id);
    throw new HakoError(codeOf(error), `failed to set up container networking: ${messageOf(error)}`, error);
  }
}

/** Gives back whatever a container holds of networks. Idempotent, and never fails: what could not be given back is told. */
export async function disconnect(house: EngineHouse, namespace: string, id: string): Promise<void> {
  const driver = house.network;
  if (driver === undefined) return;
  // Plugins have time-outs of their own; ten seconds would cut a slow iptables off in the middle.
  const signal = AbortSignal.timeout(60_000);
  try {
    await driver.detach(namespace, id, signal);
  } catch (error) {
    house.logger.log('warn', 'a network was not given back', { namespace, id, error: messageOf(error) });
  }
  try {
    await driver.removeNetns(namespace, id, signal);
  } catch (error) {
    house.logger.log('warn', 'a network namespace was not removed', { namespace, id, error: messageOf(error) });
  }
}

/** The container whose network is to be shared. */
function joined(house: EngineHouse, call: Call, ref: string): Container {
  try {
    return resolve(house, call, ref);
  } catch (error) {
    throw new HakoError(codeOf(error), `joining network namespace of container: ${messageOf(error)}`, error);
  }
}

/** The network namespace of a running container. */
function netnsOfContainer(house: EngineHouse, call: Call, ref: string): string {
  const other = joined(house, call, ref);
  const standing = standingOf(house, call, other.id);
  if (!isAlive(standing)) {
    throw new HakoError('conflict', `cannot join network of a non running container: ${other.id}`);
  }
  return `/proc/${standing.pid}/ns/net`;
}

function withNetns(spec: Uint8Array, path: string): Uint8Array {
  const parsed = JSON.parse(Buffer.from(spec).toString('utf8')) as OciSpec;
  const others = parsed.linux.namespaces.filter(({ type }) => type !== 'network');
  return Buffer.from(
    JSON.stringify({ ...parsed, linux: { ...parsed.linux, namespaces: [...others, { type: 'network', path }] } }),
  );
}

/** Gives back networks of containers that no longer run, after a start of the daemon. */
export async function reconcileNetworks(house: EngineHouse, signal: AbortSignal): Promise<void> {
  if (house.network === undefined) return;
  for (const { namespace, id } of await house.network.list(signal)) {
    const call = { namespace, signal };
    let live = false;
    try {
      const task = house.ledger.processes.find(namespace, id, '');
      live = task !== undefined && task.status !== 'stopped' && house.containers.find(call, id) !== undefined;
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
    }
    if (!live) await disconnect(house, namespace, id);
  }
}
