import { randomBytes } from 'node:crypto';
import os from 'node:os';
import { cleanupSignal, type Call } from '#base/call.ts';
import { codeOf, HakoError } from '#base/errors.ts';
import { formatPlatform } from '#base/platforms.ts';
import type { Labels } from '#core/any.ts';
import type { Mount } from '#core/mounts.ts';
import { hostDevices, requestedDevices } from '../spec/devices.ts';
import { dockerSpec } from '../spec/docker-spec.ts';
import type { OciSpec } from '../spec/types.ts';
import { lookUpUser, type User } from '../spec/users.ts';
import {
  checkHostConfig,
  checkSharedNetwork,
  commandOf,
  mergeImage,
  networkModeOf,
  readConfig,
  type ContainerConfig,
} from './config.ts';
import { dropLease, leased } from './create-lease.ts';
import type { ContainerRequest } from './types.ts';
import { flagOf, objectOf, textOf, textsOf, type Json } from './fields.ts';
import { removeFiles, writeFiles } from './files.ts';
import type { EngineHouse } from './house.ts';
import { findImage, type FoundImage } from './image-model.ts';
import { ociMount, planMounts, realizeMounts } from './mounts.ts';
import { checkName, reserveGeneratedName, reserveName } from './names.ts';
import { checkEndpoint } from './network.ts';
import { checkPorts } from './ports.ts';
import { encodeRecord, recordKey, recordOf, type DockerRecord } from './record.ts';
import { parseSignal } from './signals.ts';

export const specType = 'types.containerd.io/opencontainers/runtime-spec/1/Spec';

const runtimes: Readonly<Record<string, string>> = {
  crun: 'io.containerd.crun.v2',
  'io.containerd.crun.v2': 'io.containerd.crun.v2',
};

/** Makes a container out of an image: name, snapshot, spec, files and row, or nothing of them. */
export async function create(
  house: EngineHouse,
  given: Call,
  name: string,
  request: ContainerRequest,
): Promise<{ id: string; warnings: string[] }> {
  const wanted = readConfig(request);
  const hostConfig = objectOf(request, 'HostConfig');
  const networkingConfig = objectOf(request, 'NetworkingConfig');
  const checked = name === '' ? '' : checkName(name);
  const warnings = checkHostConfig(hostConfig);
  checkSharedNetwork(hostConfig, wanted);
  checkEndpoint(hostConfig, networkingConfig);
  const found = await findImage(house, given, wanted.Image, textOf(request, 'Platform'));
  const id = randomBytes(32).toString('hex');
  const config = completeConfig(house, given, mergeImage(wanted, found.model.config.config ?? {}), id, hostConfig);
  commandOf(config);
  if (config.StopSignal !== undefined) parseSignal(config.StopSignal);
  checkPorts(hostConfig, config);

  await using undo = new AsyncDisposableStack();
  const call = await leased(house, given, undo);
  const taken = checked === '' ? reserveGeneratedName(house, call, id) : checked;
  if (checked !== '') reserveName(house, call, checked, id);
  undo.defer(() => house.ledger.names.release(call.namespace, taken));
  const record = await build(
    house,
    call,
    { id, found, config, hostConfig, networkingConfig, warnings, name: taken },
    undo,
  );
  await house.containers.create(call, record);
  // Point of no return: the row holds all of it now.
  undo.move();
  if (given.lease === undefined) await dropLease(house, call);
  return { id, warnings };
}

interface Draft {
  readonly id: string;
  readonly name: string;
  readonly found: FoundImage;
  readonly config: ContainerConfig;
  readonly hostConfig: Json;
  readonly networkingConfig: Json;
  readonly warnings: string[];
}

type NewContainer = Parameters<EngineHouse['containers']['create']>[1];

/** Everything of a container but its row. */
async function build(house: EngineHouse, call: Call, draft: Draft, undo: AsyncDisposableStack): Promise<NewContainer> {
  const { id, found, config, hostConfig, networkingConfig, warnings } = draft;
  const plans = planMounts(house, config, hostConfig);
  const { mounts, snapshotter } = await prepareSnapshot(house, call, id, found, undo);
  const user = await userOf(house, mounts, config.User, textsOf(hostConfig, 'GroupAdd'), call.signal);
  await realizeMounts(house, plans, mounts, call.signal);
  const record: DockerRecord = {
    version: 1,
    namespace: call.namespace,
    created: new Date().toISOString(),
    imageId: found.model.id,
    platform: formatPlatform({
      os: found.model.config.os ?? 'linux',
      architecture: found.model.config.architecture ?? house.facts.architecture,
    }),
    config,
    hostConfig,
    networkingConfig,
    mounts: plans.map(({ point }) => point),
  };
  undo.defer(() => removeFiles(house, call.namespace, id));
  const files = await writeFiles(house, { namespace: call.namespace, id }, record, []);
  const devices = flagOf(hostConfig, 'Privileged') ? await hostDevices() : await requestedDevices(hostConfig);
  const built = dockerSpec({
    namespace: call.namespace,
    id,
    config,
    hostConfig,
    user,
    devices,
    mounts: plans.map(ociMount),
    files,
    host: house.facts,
  });
  warnings.push(...built.warnings);
  return {
    id,
    image: found.image.name,
    labels: keptLabels(config.Labels, { 'nerdctl/name': draft.name, 'containerd.io/restart.explicitly-stopped': '' }),
    spec: { typeUrl: specType, value: encodeSpec(built.spec) },
    runtime: { name: runtimes[textOf(hostConfig, 'Runtime')] ?? 'io.containerd.runc.v2' },
    snapshotter,
    snapshotKey: id,
    sandbox: '',
    extensions: { [recordKey]: encodeRecord(record) },
  };
}

export const encodeSpec = (spec: OciSpec): Uint8Array => Buffer.from(JSON.stringify(spec));

/** Docker's own values for what nobody gave. Who shares a network shares the name it is known by there. */
function completeConfig(
  house: EngineHouse,
  call: Call,
  config: ContainerConfig,
  id: string,
  hostConfig: Json,
): ContainerConfig {
  const mode = networkModeOf(hostConfig);
  if (mode.kind === 'container') {
    // One that is not there is told at start, as with Docker: not-found now would mean the image to clients.
    const id = house.ledger.names.find(call.namespace, mode.ref);
    const other = id === undefined ? undefined : house.containers.find(call, id);
    const shared = other === undefined ? undefined : recordOf(other)?.config;
    if (shared !== undefined) return { ...config, Hostname: shared.Hostname, Domainname: shared.Domainname };
  }
  if (config.Hostname !== '') return config;
  return { ...config, Hostname: mode.kind === 'host' ? os.hostname() : id.slice(0, 12) };
}

/** Labels that are too long for containerd's clients stay in the record, where Docker's find them. */
function keptLabels(labels: Labels, ours: Labels): Labels {
  const fits = Object.entries(labels).filter(
    ([key, value]) => key !== '' && Buffer.byteLength(key) + Buffer.byteLength(value) <= 4096,
  );
  return Object.fromEntries([...fits, ...Object.entries(ours).filter(([, value]) => value !== '')]);
}

async function prepareSnapshot(
  house: EngineHouse,
  call: Call,
  id: string,
  found: FoundImage,
  undo: AsyncDisposableStack,
): Promise<{ mounts: readonly Mount[]; snapshotter: string }> {
  const snapshotter = house.defaultSnapshotter;
  const mounts = await house.snapshots
    .prepare(call, snapshotter, id, found.model.chainId, {})
    .catch((error: unknown) => {
      if (codeOf(error) !== 'not-found') throw error;
      const hint = `image "${found.image.name}" is not unpacked for snapshotter "${snapshotter}": pull it again`;
      throw new HakoError('failed-precondition', hint, error);
    });
  undo.defer(() => house.snapshots.remove({ namespace: call.namespace, signal: cleanupSignal() }, snapshotter, id));
  return { mounts, snapshotter };
}

async function userOf(
  house: EngineHouse,
  rootfs: readonly Mount[],
  user: string,
  groups: readonly string[],
  signal: AbortSignal,
): Promise<User> {
  const [passwd, group] = await house.rootfs.readFiles(rootfs, ['/etc/passwd', '/etc/group'], signal);
  const text = (bytes: Uint8Array | undefined): string | undefined =>
    bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8');
  return lookUpUser(user, text(passwd), text(group), groups);
}
