import { readFileSync } from 'node:fs';
import os from 'node:os';
import type { Call } from '#base/call.ts';
import { hostPlatform } from '#base/platforms.ts';
import type { EngineObject } from './types.ts';
import type { EngineHouse } from './house.ts';
import { imageGroups } from './images.ts';
import { standingOf } from './resolve.ts';

/** The Engine API we answer as, and the oldest whose clients we take. */
export const apiVersion = '1.51';
export const minApiVersion = '1.24';

/** The containerd door tells the release it matches, with ours behind the plus. */
const ownVersion = (house: EngineHouse): string =>
  house.version ?? house.introspection.version().version.replace(/^.*\+hakobune\./, '');

/** `GET /version`. */
export function version(house: EngineHouse): EngineObject {
  const { revision } = house.introspection.version();
  const own = ownVersion(house);
  const { architecture } = hostPlatform();
  const details = {
    ApiVersion: apiVersion,
    Arch: architecture,
    BuildTime: '',
    Experimental: 'false',
    GitCommit: revision,
    // The stock client prints this line whether it is there or not.
    GoVersion: `none (node ${process.versions.node})`,
    KernelVersion: os.release(),
    MinAPIVersion: minApiVersion,
    Os: 'linux',
  };
  return {
    Platform: { Name: 'Hakobune' },
    Components: [{ Name: 'Engine', Version: own, Details: details }],
    Version: own,
    ApiVersion: apiVersion,
    MinAPIVersion: minApiVersion,
    GitCommit: revision,
    GoVersion: details.GoVersion,
    Os: 'linux',
    Arch: architecture,
    KernelVersion: os.release(),
    BuildTime: '',
  };
}

/** Fields that say the same on every machine: what we have, and what of Docker's we have not. */
const fixed: EngineObject = {
  SystemStatus: null,
  MemoryLimit: true,
  SwapLimit: true,
  CpuCfsPeriod: true,
  CpuCfsQuota: true,
  CPUShares: true,
  CPUSet: true,
  PidsLimit: true,
  KernelMemory: false,
  KernelMemoryTCP: false,
  BridgeNfIptables: true,
  BridgeNfIp6tables: true,
  Debug: false,
  NFd: 0,
  NGoroutines: 0,
  NEventsListener: 0,
  LoggingDriver: 'json-file',
  CgroupDriver: 'cgroupfs',
  OSType: 'linux',
  IndexServerAddress: 'https://index.docker.io/v1/',
  RegistryConfig: {
    AllowNondistributableArtifactsCIDRs: null,
    AllowNondistributableArtifactsHostnames: null,
    InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8'],
    IndexConfigs: { 'docker.io': { Name: 'docker.io', Mirrors: [], Secure: true, Official: true } },
    Mirrors: null,
  },
  GenericResources: null,
  HttpProxy: '',
  HttpsProxy: '',
  NoProxy: '',
  Labels: [],
  ExperimentalBuild: false,
  Runtimes: { runc: { path: 'runc' }, crun: { path: 'crun' } },
  DefaultRuntime: 'runc',
  Swarm: {
    NodeID: '',
    NodeAddr: '',
    LocalNodeState: 'inactive',
    ControlAvailable: false,
    Error: '',
    RemoteManagers: null,
  },
  LiveRestoreEnabled: true,
  Isolation: '',
  InitBinary: '',
  ContainerdCommit: { ID: '', Expected: '' },
  RuncCommit: { ID: '', Expected: '' },
  InitCommit: { ID: '', Expected: '' },
  CDISpecDirs: [],
};

/** `GET /info`. */
export async function info(house: EngineHouse, call: Call): Promise<EngineObject> {
  const containers = [...house.containers.list(call, [])].map(({ id }) => standingOf(house, call, id).status);
  const count = (...statuses: string[]): number => containers.filter((status) => statuses.includes(status)).length;
  const v2 = house.facts.cgroupVersion === 2;
  const networks = house.network === undefined ? [] : ['bridge'];
  const noNetwork = ['no network driver started: containers have --network host and none only'];
  return {
    ...fixed,
    ...machine(),
    ID: house.introspection.server().uuid,
    Containers: containers.length,
    ContainersRunning: count('running'),
    ContainersPaused: count('paused'),
    ContainersStopped: count('created', 'exited', 'dead'),
    Images: (await imageGroups(house, call)).length,
    Driver: house.defaultSnapshotter,
    DriverStatus: [['driver-type', 'hakobune snapshotter']],
    Plugins: {
      Volume: ['local'],
      Network: [...networks, 'host', 'null'],
      Authorization: null,
      Log: ['json-file', 'none'],
    },
    OomKillDisable: !v2,
    CgroupVersion: v2 ? '2' : '1',
    DockerRootDir: house.root,
    ServerVersion: ownVersion(house),
    SecurityOptions: ['name=seccomp,profile=builtin', ...(v2 ? ['name=cgroupns'] : [])],
    Warnings: house.network === undefined ? noNetwork : null,
  };
}

const machine = (): EngineObject => ({
  Name: os.hostname(),
  SystemTime: new Date().toISOString(),
  IPv4Forwarding: sysctl('net/ipv4/ip_forward') === '1',
  KernelVersion: os.release(),
  OperatingSystem: osRelease('PRETTY_NAME') || 'Linux',
  OSVersion: osRelease('VERSION_ID'),
  Architecture: os.machine(),
  NCPU: os.availableParallelism(),
  MemTotal: os.totalmem(),
});

function sysctl(name: string): string {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  } catch {
    return '';
  }
}

/** os-release(5). */
function osRelease(key: string): string {
  for (const file of ['/etc/os-release', '/usr/lib/os-release']) {
    try {
      const line = readFileSync(file, 'utf8')
        .split('\n')
        .find((text) => text.startsWith(`${key}=`));
      if (line !== undefined) return line.slice(key.length + 1).replace(/^["'](.*)["']$/, '$1');
    } catch {
      // The other place, or nothing.
    }
  }
  return '';
}
