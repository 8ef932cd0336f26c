import type { Container } from '#core/containers.ts';
import { defaultShmSize, maskedPaths, readonlyPaths } from '../spec/defaults.ts';
import { flagOf, textOf, type Json } from './fields.ts';
import type { DockerRecord } from './record.ts';

/** What Docker shows where nothing was asked for: clients read these fields without looking whether they are there. */
const defaults: Json = {
  Binds: null,
  ContainerIDFile: '',
  LogConfig: { Type: 'json-file', Config: {} },
  PortBindings: {},
  RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
  AutoRemove: false,
  VolumeDriver: '',
  VolumesFrom: null,
  ConsoleSize: [0, 0],
  CapAdd: null,
  CapDrop: null,
  CgroupnsMode: 'host',
  Dns: [],
  DnsOptions: [],
  DnsSearch: [],
  ExtraHosts: null,
  GroupAdd: null,
  IpcMode: 'private',
  Cgroup: '',
  Links: null,
  OomScoreAdj: 0,
  PidMode: '',
  Privileged: false,
  PublishAllPorts: false,
  ReadonlyRootfs: false,
  SecurityOpt: null,
  UTSMode: '',
  UsernsMode: '',
  ShmSize: defaultShmSize,
  Isolation: '',
  CpuShares: 0,
  Memory: 0,
  NanoCpus: 0,
  CgroupParent: '',
  BlkioWeight: 0,
  CpuPeriod: 0,
  CpuQuota: 0,
  CpusetCpus: '',
  CpusetMems: '',
  Devices: [],
  DeviceCgroupRules: null,
  DeviceRequests: null,
  MemoryReservation: 0,
  MemorySwap: 0,
  MemorySwappiness: null,
  OomKillDisable: null,
  PidsLimit: null,
  Ulimits: [],
};

/** What clients send for "nothing asked for": Docker then shows what it took instead. */
function isNothing(key: string, value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  if (key === 'ShmSize' || key === 'PidsLimit') return value === 0;
  if (key === 'MemorySwappiness') return value === -1;
  return key === 'LogConfig' && (value as Json)['Type'] === '';
}

/** HostConfig as inspect shows it: as it was asked for, with Docker's own values for the rest. */
export function hostConfigOf(record: DockerRecord | undefined, container: Container): Json {
  const hostConfig = record?.hostConfig ?? {};
  const privileged = flagOf(hostConfig, 'Privileged');
  const given = Object.entries(hostConfig).filter(([key, value]) => !isNothing(key, value));
  const shown: Json = {
    ...defaults,
    NetworkMode: record === undefined ? '' : 'bridge',
    Runtime: container.runtime.name.includes('crun') ? 'crun' : 'runc',
    MaskedPaths: privileged ? null : maskedPaths,
    ReadonlyPaths: privileged ? null : readonlyPaths,
    ...Object.fromEntries(given),
  };
  return textOf(hostConfig, 'NetworkMode') === 'default' ? { ...shown, NetworkMode: 'bridge' } : shown;
}
