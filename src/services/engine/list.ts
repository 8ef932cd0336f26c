import type { Call } from '#base/call.ts';
import { HakoError, invalid } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import type { PortMapping } from '#core/network.ts';
import { networkModeOf } from './config.ts';
import type { EngineObject } from './types.ts';
import { textOf } from './fields.ts';
import { keyedFilter, matchesLabels, type Filters } from './filters.ts';
import type { EngineHouse } from './house.ts';
import { familiarOr, findImage } from './image-model.ts';
import { imageIdOf, mountOf, networksOf, networkStatus, sizeOf, statusText, viewOf } from './inspect.ts';
import { parsePort } from './ports.ts';
import { recordOf, type DockerRecord } from './record.ts';
import { isAlive, nameOf, resolve, standingOf, type Standing } from './resolve.ts';

export interface ListOptions {
  readonly all: boolean;
  readonly limit: number;
  readonly size: boolean;
  readonly filters: Filters;
}

interface Row {
  readonly container: Container;
  readonly record: DockerRecord | undefined;
  readonly standing: Standing;
  readonly name: string;
  readonly created: number;
  /** Ports of the host that lead to it now. */
  readonly published: () => readonly PortMapping[];
}

const known = [
  'ancestor',
  'before',
  'exited',
  'expose',
  'health',
  'id',
  'is-task',
  'isolation',
  'label',
  'name',
  'network',
  'publish',
  'since',
  'status',
  'volume',
];
const statuses = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'];

/** `GET /containers/json`: the newest first. */
export async function list(house: EngineHouse, call: Call, options: ListOptions): Promise<EngineObject[]> {
  const { filters } = options;
  for (const key of filters.keys()) if (!known.includes(key)) throw invalid(`invalid filter '${key}'`);
  for (const status of filters.get('status') ?? []) {
    if (!statuses.includes(status)) throw invalid(`invalid filter 'status=${status}'`);
  }
  const rows = [...house.containers.list(call, [])].map((container) => rowOf(house, call, container));
  rows.sort((one, other) => other.created - one.created);
  const passes = await compile(house, call, filters, rows);
  const all = options.all || filters.has('status') || filters.has('exited');
  const shown = rows.filter((row) => (all || isAlive(row.standing)) && passes(row));
  const cut = options.limit > 0 ? shown.slice(0, options.limit) : shown;
  return Promise.all(cut.map((row) => summary(house, call, row, options.size)));
}

function rowOf(house: EngineHouse, call: Call, container: Container): Row {
  const record = recordOf(container);
  const standing = standingOf(house, call, container.id);
  return {
    container,
    record,
    standing,
    published: () => networkStatus(house, call, container.id, isAlive(standing))?.ports ?? [],
    name: nameOf(house, call, container),
    created: record === undefined ? container.createdAt.getTime() : Date.parse(record.created),
  };
}

/** What a row must be to pass. Names of containers and images in filters are looked up once. */
async function compile(
  house: EngineHouse,
  call: Call,
  filters: Filters,
  rows: readonly Row[],
): Promise<(row: Row) => boolean> {
  const createdOf = (ref: string): number => {
    const { id } = resolve(house, call, ref);
    return rows.find((row) => row.container.id === id)?.created ?? 0;
  };
  const before = (filters.get('before') ?? []).map(createdOf);
  const since = (filters.get('since') ?? []).map(createdOf);
  const descends = await ancestry(house, call, filters.get('ancestor') ?? [], rows);
  for (const code of filters.get('exited') ?? [])
    if (!/^\d+$/.test(code)) throw invalid(`invalid filter 'exited=${code}'`);
  return (row) =>
    Object.entries(tests).every(([key, passes]) => keyedFilter(filters, key, (value) => passes(row, value))) &&
    descends(row) &&
    before.every((time) => row.created < time) &&
    since.every((time) => row.created > time) &&
    matchesLabels(filters, row.record?.config.Labels ?? row.container.labels);
}

/** Filters that look at one row and one value. */
const tests: Readonly<Record<string, (row: Row, value: string) => boolean>> = {
  id: ({ container }, id) => container.id.startsWith(id),
  name: (row, name) => matchesName(row.name, name),
  status: ({ standing }, status) => standing.status === status,
  exited: ({ standing }, code) => standing.status === 'exited' && standing.exitCode === Number(code),
  health: (_row, health) => health === 'none',
  'is-task': (_row, is) => is === 'false' || is === '0',
  volume: ({ record }, volume) =>
    (record?.mounts ?? []).some(({ Name, Destination }) => Name === volume || Destination === volume),
  network: ({ record }, network) => record !== undefined && network in networksOf(record, undefined),
  expose: exposes,
  publish: ({ published }, wanted) =>
    published().some(({ hostPort, protocol }) => inPortRange(wanted, hostPort, protocol)),
};

/** Whether a row was made from one of the images; without any, all are. */
async function ancestry(
  house: EngineHouse,
  call: Call,
  refs: readonly string[],
  rows: readonly Row[],
): Promise<(row: Row) => boolean> {
  if (refs.length === 0) return () => true;
  const ids = new Set<string>();
  for (const ref of refs) {
    try {
      ids.add((await findImage(house, call, ref)).model.id);
    } catch (error) {
      // Nothing was made from an image that is not there.
      if (!(error instanceof HakoError) || error.code !== 'not-found') throw error;
    }
  }
  const descendants = new Set<Row>();
  for (const row of rows) {
    if (ids.has(row.record?.imageId ?? (await imageIdOf(house, call, row.container)))) descendants.add(row);
  }
  return (row) => descendants.has(row);
}

/** Docker takes the filter as a regular expression over the name, with and without its slash. */
function matchesName(name: string, filter: string): boolean {
  if (`/${name}`.includes(filter)) return true;
  // Expressions of a stranger's are bounded: they run on the daemon's only thread.
  if (filter.length > 256) throw invalid(`invalid filter 'name=${filter.slice(0, 32)}…': longer than 256 characters`);
  const anchored = /^\^?\/?([a-zA-Z0-9_.-]+)\$?$/.exec(filter);
  if (anchored === null) return false;
  const bare = anchored[1] ?? '';
  if (filter.startsWith('^') && filter.endsWith('$')) return name === bare;
  if (filter.startsWith('^')) return name.startsWith(bare);
  return filter.endsWith('$') && name.endsWith(bare);
}

function exposes(row: Row, wanted: string): boolean {
  return Object.keys(row.record?.config.ExposedPorts ?? {}).some((key) => {
    const { port, protocol } = parsePort(key);
    return inPortRange(wanted, port, protocol);
  });
}

/** Whether `wanted`, such as `80`, `53/udp` or `8000-8080/tcp`, names the port. */
function inPortRange(wanted: string, port: number, protocol: string): boolean {
  const matched = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(\w+))?$/.exec(wanted);
  if (matched === null) throw invalid(`invalid port in a filter: "${wanted}"`);
  const [, first = '', last = first, wantedProtocol = 'tcp'] = matched;
  return Number(first) <= port && port <= Number(last) && wantedProtocol.toLowerCase() === protocol;
}

async function summary(house: EngineHouse, call: Call, row: Row, size: boolean): Promise<EngineObject> {
  const { container, record, standing, name } = row;
  const view = viewOf(container, record);
  const status = networkStatus(house, call, container.id, isAlive(standing));
  const mode = record === undefined ? undefined : networkModeOf(record.hostConfig);
  return {
    Id: container.id,
    Names: [`/${name}`],
    Image: await imageShown(house, call, row),
    ImageID: record?.imageId ?? (await imageIdOf(house, call, container)),
    Command: commandText(view.command),
    Created: Math.trunc(row.created / 1000),
    Ports: portsOf(row, status?.ports ?? []),
    ...(size ? await sizeOf(house, call, container) : {}),
    Labels: record?.config.Labels ?? container.labels,
    State: standing.status,
    Status: statusText(standing),
    HostConfig: { NetworkMode: mode === undefined ? '' : textOf(record?.hostConfig ?? {}, 'NetworkMode') || 'bridge' },
    NetworkSettings: { Networks: networksOf(record, status) },
    Mounts: view.mounts.map(mountOf),
  };
}

/** The name the container was asked for by; the id when that name means another image by now. */
async function imageShown(house: EngineHouse, call: Call, { container, record }: Row): Promise<string> {
  if (record === undefined) return familiarOr(container.image);
  const asked = record.config.Image;
  try {
    const { model } = await findImage(house, call, asked);
    return model.id === record.imageId ? asked : record.imageId;
  } catch {
    return /^(?:sha256:)?[a-f0-9]{12,64}$/.test(asked) ? asked : record.imageId;
  }
}

/** As a shell would show it: words with spaces in quotes. */
function commandText(command: readonly string[]): string {
  return command.map((word) => (word.includes(' ') ? `'${word}'` : word)).join(' ');
}

function portsOf(
  { record, standing }: Row,
  published: readonly { hostIp: string; hostPort: number; containerPort: number; protocol: string }[],
): EngineObject[] {
  const ports: EngineObject[] = published.map(({ hostIp, hostPort, containerPort, protocol }) => ({
    IP: hostIp === '' ? '0.0.0.0' : hostIp,
    PrivatePort: containerPort,
    PublicPort: hostPort,
    Type: protocol,
  }));
  if (!isAlive(standing)) return ports;
  for (const key of Object.keys(record?.config.ExposedPorts ?? {})) {
    const [port = '', protocol = 'tcp'] = key.split('/');
    if (!published.some((one) => one.containerPort === Number(port) && one.protocol === protocol)) {
      ports.push({ PrivatePort: Number(port), Type: protocol });
    }
  }
  return ports;
}
