import path from 'node:path';
import type { Call } from '#base/call.ts';
import { humanDuration } from '#base/units.ts';
import type { Container } from '#core/containers.ts';
import type { NetworkStatus } from '#core/network.ts';
import type { OciSpec } from '../spec/types.ts';
import { networkModeOf, type ContainerConfig } from './config.ts';
import type { EngineObject } from './types.ts';
import { filesOf } from './files.ts';
import type { EngineHouse } from './house.ts';
import { hostConfigOf } from './host-config.ts';
import { familiarOr, readImage } from './image-model.ts';
import { recordOf, type DockerRecord, type MountPoint } from './record.ts';
import { isAlive, nameOf, resolve, standingOf, type Standing } from './resolve.ts';

/** Go's zero time, which Docker shows for what has not happened. */
const never = '0001-01-01T00:00:00Z';
export const timeOf = (date: Date | undefined): string => (date === undefined ? never : date.toISOString());

/** `GET /containers/{id}/json`. */
export async function inspect(
  house: EngineHouse,
  call: Call,
  ref: string,
  options: { size: boolean },
): Promise<EngineObject> {
  const container = resolve(house, call, ref);
  const record = recordOf(container);
  const view = viewOf(container, record);
  const standing = standingOf(house, call, container.id);
  const files = filesOf(house, call.namespace, container.id);
  const [command = '', ...args] = view.command;
  return {
    Id: container.id,
    Created: record?.created ?? container.createdAt.toISOString(),
    Path: command,
    Args: args,
    State: stateOf(standing),
    Image: record?.imageId ?? (await imageIdOf(house, call, container)),
    ResolvConfPath: record === undefined ? '' : files.resolvConf,
    HostnamePath: record === undefined ? '' : files.hostname,
    HostsPath: record === undefined ? '' : files.hosts,
    LogPath: logPath(house, call, container.id),
    Name: `/${nameOf(house, call, container)}`,
    RestartCount: 0,
    Driver: container.snapshotter,
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: execIds(house, call, container.id),
    HostConfig: hostConfigOf(record, container),
    GraphDriver: { Name: container.snapshotter, Data: {} },
    ...(options.size ? await sizeOf(house, call, container) : {}),
    Mounts: view.mounts.map(mountOf),
    Config: view.config,
    NetworkSettings: networkSettings(house, call, container, record, isAlive(standing)),
  };
}

function execIds(house: EngineHouse, call: Call, id: string): string[] | null {
  const live = house.execs.of(call.namespace, id).filter(({ state }) => state === 'running' || state === 'starting');
  return live.length === 0 ? null : live.map((exec) => exec.id);
}

const logPath = (house: EngineHouse, call: Call, id: string): string => house.tasks.output(call, id).log;

/** A container of another door shows the image by its name: it may be read, or be gone. */
export async function imageIdOf(house: EngineHouse, call: Call, container: Container): Promise<string> {
  const image = container.image === '' ? undefined : house.images.find(call, container.image);
  if (image === undefined) return '';
  const model = await readImage(house, call, image.target).catch(() => undefined);
  return model?.id ?? image.target.digest;
}

/** What every container has, whichever door made it. */
export interface ContainerView {
  readonly config: ContainerConfig;
  readonly command: readonly string[];
  readonly mounts: readonly MountPoint[];
}

export function viewOf(container: Container, record: DockerRecord | undefined): ContainerView {
  if (record !== undefined) {
    const { config } = record;
    return { config, command: [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])], mounts: record.mounts };
  }
  const spec = specOf(container);
  const process = spec?.process;
  const user = process?.user;
  return {
    command: process?.args ?? [],
    mounts: (spec?.mounts ?? [])
      .filter(({ type }) => type === 'bind')
      .map((mount) => ({
        Type: 'bind',
        Source: mount.source,
        Destination: mount.destination,
        Mode: '',
        RW: !mount.options.includes('ro'),
        Propagation: 'rprivate',
      })),
    config: {
      Hostname: spec?.hostname ?? '',
      Domainname: '',
      User: user === undefined || (user.uid === 0 && user.gid === 0) ? '' : `${user.uid}:${user.gid}`,
      AttachStdin: false,
      AttachStdout: false,
      AttachStderr: false,
      ExposedPorts: {},
      Tty: process?.terminal === true,
      OpenStdin: false,
      StdinOnce: false,
      Env: process?.env ?? [],
      Cmd: process?.args ?? [],
      Image: familiarOr(container.image),
      Volumes: null,
      WorkingDir: process?.cwd ?? '/',
      Entrypoint: null,
      Labels: container.labels,
    },
  };
}

function specOf(container: Container): Partial<OciSpec> | undefined {
  if (container.spec === undefined) return undefined;
  try {
    return JSON.parse(Buffer.from(container.spec.value).toString('utf8')) as Partial<OciSpec>;
  } catch {
    // Another client's spec may be of a type that we do not read.
    return undefined;
  }
}

export function stateOf(standing: Standing): EngineObject {
  const { status } = standing;
  return {
    Status: status,
    // Docker counts a paused container among the running ones.
    Running: isAlive(standing),
    Paused: status === 'paused',
    Restarting: false,
    OOMKilled: standing.oomKilled,
    Dead: status === 'dead',
    Pid: isAlive(standing) ? standing.pid : 0,
    ExitCode: standing.exitCode,
    Error: standing.error,
    StartedAt: timeOf(standing.startedAt),
    FinishedAt: timeOf(standing.finishedAt),
  };
}

/** The STATUS column of `docker ps`. */
export function statusText(standing: Standing, now = Date.now()): string {
  const since = (date: Date | undefined): string => humanDuration(now - (date?.getTime() ?? now));
  switch (standing.status) {
    case 'running':
      return `Up ${since(standing.startedAt)}`;
    case 'paused':
      return `Up ${since(standing.startedAt)} (Paused)`;
    case 'exited':
      return `Exited (${standing.exitCode}) ${since(standing.finishedAt)} ago`;
    case 'dead':
      return 'Dead';
    case 'created':
      return 'Created';
  }
}

export function mountOf(mount: MountPoint): EngineObject {
  const { Anonymous: _, ...shown } = mount;
  return shown;
}

/** The writable layer, and the whole tree. */
export async function sizeOf(
  house: EngineHouse,
  call: Call,
  container: Container,
): Promise<{ SizeRw: number; SizeRootFs: number }> {
  if (container.snapshotKey === '') return { SizeRw: 0, SizeRootFs: 0 };
  const { snapshotter, snapshotKey } = container;
  const own = (await house.snapshots.usage(call, snapshotter, snapshotKey)).bytes;
  let below = 0;
  for (let key = house.snapshots.stat(call, snapshotter, snapshotKey).parent; key !== '';) {
    below += (await house.snapshots.usage(call, snapshotter, key)).bytes;
    key = house.snapshots.stat(call, snapshotter, key).parent;
  }
  return { SizeRw: own, SizeRootFs: own + below };
}

function endpoint(status: NetworkStatus | undefined): EngineObject {
  return {
    IPAMConfig: null,
    Links: null,
    Aliases: null,
    MacAddress: status?.macAddress ?? '',
    DriverOpts: null,
    GwPriority: 0,
    NetworkID: status?.network ?? '',
    EndpointID: '',
    Gateway: status?.gateway ?? '',
    IPAddress: status?.ipAddress ?? '',
    IPPrefixLen: status?.prefixLength ?? 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
}

export function networksOf(record: DockerRecord | undefined, status: NetworkStatus | undefined): EngineObject {
  if (record === undefined) return {};
  const mode = networkModeOf(record.hostConfig);
  if (mode.kind === 'container') return {};
  return { [mode.kind === 'network' ? mode.name : mode.kind]: endpoint(status) };
}

export const networkStatus = (house: EngineHouse, call: Call, id: string, live: boolean): NetworkStatus | undefined =>
  live ? house.network?.status(call.namespace, id) : undefined;

function networkSettings(
  house: EngineHouse,
  call: Call,
  container: Container,
  record: DockerRecord | undefined,
  live: boolean,
): EngineObject {
  const status = networkStatus(house, call, container.id, live);
  const ports: Record<string, { HostIp: string; HostPort: string }[] | null> = {};
  if (live) for (const key of Object.keys(record?.config.ExposedPorts ?? {})) ports[key] = null;
  for (const { containerPort, protocol, hostIp, hostPort } of status?.ports ?? []) {
    const key = `${containerPort}/${protocol}`;
    ports[key] = [...(ports[key] ?? []), { HostIp: hostIp === '' ? '0.0.0.0' : hostIp, HostPort: String(hostPort) }];
  }
  return {
    Bridge: '',
    SandboxID: '',
    SandboxKey: status === undefined ? '' : path.join(house.state, 'netns', call.namespace, container.id),
    Ports: ports,
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: '',
    Gateway: status?.gateway ?? '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    IPAddress: status?.ipAddress ?? '',
    IPPrefixLen: status?.prefixLength ?? 0,
    IPv6Gateway: '',
    MacAddress: status?.macAddress ?? '',
    Networks: networksOf(record, status),
  };
}
