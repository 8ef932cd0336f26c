import path from 'node:path';
import { invalid } from '#base/errors.ts';
import { commandOf, mergeEnv, networkModeOf, type ContainerConfig } from '../engine/config.ts';
import { flagOf, numberOf, textMapOf, textOf, textsOf, type Json } from '../engine/fields.ts';
import { capabilitiesOf } from './capabilities.ts';
import { defaultMounts, defaultPath, defaultShmSize, maskedPaths, readonlyPaths } from './defaults.ts';
import type { Devices } from './devices.ts';
import type { HostFacts } from './host-facts.ts';
import { resourcesOf, rlimitsOf } from './resources.ts';
import { defaultSeccomp, parseSeccompProfile, type Seccomp } from './seccomp.ts';
import { securityOf } from './security.ts';
import type { OciMount, OciNamespace, OciProcess, OciSpec } from './types.ts';
import type { User } from './users.ts';

/** Everything a spec is made of, looked up beforehand: building it touches nothing. */
export interface SpecParts {
  readonly namespace: string;
  readonly id: string;
  readonly config: ContainerConfig;
  readonly hostConfig: Json;
  readonly user: User;
  readonly devices: Devices;
  /** Binds, volumes and tmpfs of the user's, in any order. */
  readonly mounts: readonly OciMount[];
  /** Files of ours that are put over the container's. */
  readonly files: { readonly hostname: string; readonly hosts: string; readonly resolvConf: string };
  readonly host: HostFacts;
}

/** A spec, and what could not be done as asked. */
export interface BuiltSpec {
  readonly spec: OciSpec;
  readonly warnings: readonly string[];
}

/** The spec of a container made through Docker's API, as Docker would write it. invalid-argument in Docker's words. */
export function dockerSpec(parts: SpecParts): BuiltSpec {
  const { config, hostConfig, host } = parts;
  const warnings: string[] = [];
  const privileged = flagOf(hostConfig, 'Privileged');
  const security = securityOf(hostConfig);
  const capabilities = capabilitiesOf(
    { add: textsOf(hostConfig, 'CapAdd'), drop: textsOf(hostConfig, 'CapDrop'), privileged },
    host.capabilities,
  );
  const seccomp =
    privileged && security.seccomp === undefined ? undefined : seccompOf(security.seccomp, capabilities, host);
  const bare = privileged || security.pathsUnconfined;
  const hostUts = textOf(hostConfig, 'UTSMode') === 'host';
  const sysctl = sysctlsOf(hostConfig);
  const spec: OciSpec = {
    ociVersion: '1.0.2',
    process: processOf(parts, capabilities, security.noNewPrivileges, warnings),
    root: { path: 'rootfs', ...(flagOf(hostConfig, 'ReadonlyRootfs') ? { readonly: true } : {}) },
    ...(hostUts ? {} : { hostname: config.Hostname }),
    ...(config.Domainname === '' || hostUts ? {} : { domainname: config.Domainname }),
    mounts: mountsOf(parts, privileged),
    linux: {
      namespaces: namespacesOf(hostConfig, host, privileged),
      cgroupsPath: cgroupsPathOf(parts),
      resources: resourcesOf(hostConfig, parts.devices.rules, privileged),
      ...(parts.devices.devices.length === 0 ? {} : { devices: parts.devices.devices }),
      ...(Object.keys(sysctl).length === 0 ? {} : { sysctl }),
      ...(bare ? {} : pathsOf(hostConfig)),
      ...(seccomp === undefined ? {} : { seccomp }),
      ...(hasPropagation(parts.mounts, 'shared')
        ? { rootfsPropagation: 'shared' }
        : hasPropagation(parts.mounts, 'slave')
          ? { rootfsPropagation: 'slave' }
          : {}),
    },
  };
  return { spec, warnings };
}

const cgroupsPathOf = ({ namespace, id, hostConfig }: SpecParts): string => {
  const parent = textOf(hostConfig, 'CgroupParent');
  return parent === '' ? `/hakobune/${namespace}/${id}` : path.posix.join('/', parent, id);
};

const hasPropagation = (mounts: readonly OciMount[], kind: string): boolean =>
  mounts.some(({ options }) => options.includes(kind) || options.includes(`r${kind}`));

function seccompOf(
  wanted: ReturnType<typeof securityOf>['seccomp'],
  capabilities: readonly string[],
  host: HostFacts,
): Seccomp | undefined {
  if (wanted === 'unconfined') return undefined;
  return wanted === undefined
    ? defaultSeccomp(capabilities, host.architecture)
    : parseSeccompProfile(wanted.profile, capabilities, host.architecture);
}

function pathsOf(hostConfig: Json): { maskedPaths: readonly string[]; readonlyPaths: readonly string[] } {
  const own = (key: string, fallback: readonly string[]): readonly string[] =>
    hostConfig[key] === undefined || hostConfig[key] === null ? fallback : textsOf(hostConfig, key);
  return { maskedPaths: own('MaskedPaths', maskedPaths), readonlyPaths: own('ReadonlyPaths', readonlyPaths) };
}

function processOf(
  parts: SpecParts,
  capabilities: readonly string[],
  noNewPrivileges: boolean,
  warnings: string[],
): OciProcess {
  const { config, hostConfig, user, host } = parts;
  const cwd = config.WorkingDir === '' ? '/' : path.posix.normalize(config.WorkingDir);
  if (!cwd.startsWith('/'))
    throw invalid(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
  const rlimits = rlimitsOf(hostConfig);
  const score = oomScoreOf(hostConfig, host, warnings);
  // Who is not root starts without capabilities in effect, and may gain them again by what it executes.
  const effective = user.uid === 0 ? capabilities : [];
  return {
    terminal: config.Tty,
    ...(config.Tty ? consoleSizeOf(hostConfig) : {}),
    user: {
      uid: user.uid,
      gid: user.gid,
      ...(user.additionalGids.length === 0 ? {} : { additionalGids: user.additionalGids }),
    },
    args: commandOf(config),
    env: environmentOf(config),
    cwd,
    capabilities: { bounding: capabilities, effective, permitted: effective },
    ...(rlimits.length === 0 ? {} : { rlimits }),
    ...(noNewPrivileges ? { noNewPrivileges } : {}),
    ...(score === undefined ? {} : { oomScoreAdj: score }),
  };
}

/** What every process of the container has, with the container's own on top. */
export function environmentOf(config: Pick<ContainerConfig, 'Env' | 'Hostname' | 'Tty'>): string[] {
  const given = [`PATH=${defaultPath}`, `HOSTNAME=${config.Hostname}`, ...(config.Tty ? ['TERM=xterm'] : [])];
  return mergeEnv(given, config.Env);
}

function oomScoreOf(hostConfig: Json, host: HostFacts, warnings: string[]): number | undefined {
  const wanted = numberOf(hostConfig, 'OomScoreAdj');
  if (wanted < -1000 || wanted > 1000)
    throw invalid(`Invalid value ${wanted}, range for oom score adj is [-1000, 1000]`);
  if (wanted === 0) return undefined;
  if (wanted >= host.oomScoreAdj || host.capabilities.includes('CAP_SYS_RESOURCE')) return wanted;
  // The kernel would refuse, and the runtime dies of it with a message nobody can read.
  warnings.push(
    `oom score ${wanted} is below the daemon's own and it lacks CAP_SYS_RESOURCE: ${host.oomScoreAdj} is used`,
  );
  return host.oomScoreAdj;
}

function namespacesOf(hostConfig: Json, host: HostFacts, privileged: boolean): OciNamespace[] {
  const namespaces: OciNamespace[] = [{ type: 'mount' }];
  const pid = textOf(hostConfig, 'PidMode');
  const ipc = textOf(hostConfig, 'IpcMode');
  const cgroup = textOf(hostConfig, 'CgroupnsMode');
  if (!['', 'host', 'private'].includes(cgroup)) throw invalid(`invalid cgroup namespace mode: ${cgroup}`);
  if (!['', 'host'].includes(textOf(hostConfig, 'UTSMode'))) throw invalid('invalid UTS mode');
  if (pid !== '' && pid !== 'host' && pid !== 'private') throw invalid(`invalid PID mode: ${pid}`);
  if (!['', 'host', 'private', 'shareable', 'none'].includes(ipc)) throw invalid(`invalid IPC mode: ${ipc}`);
  if (networkModeOf(hostConfig).kind !== 'host') namespaces.push({ type: 'network' });
  if (textOf(hostConfig, 'UTSMode') !== 'host') namespaces.push({ type: 'uts' });
  if (pid !== 'host') namespaces.push({ type: 'pid' });
  if (ipc !== 'host') namespaces.push({ type: 'ipc' });
  // On cgroup v1 Docker leaves it shared by default, and a privileged container sees the host's on either.
  const cgroupPrivate = cgroup === '' ? host.cgroupVersion === 2 && !privileged : cgroup === 'private';
  if (cgroupPrivate) namespaces.push({ type: 'cgroup' });
  return namespaces;
}

function sysctlsOf(hostConfig: Json): Record<string, string> {
  const own = textMapOf(hostConfig, 'Sysctls');
  if (networkModeOf(hostConfig).kind === 'host') {
    for (const name of Object.keys(own)) {
      if (name.startsWith('net.'))
        throw invalid(`sysctl '${name}' is not allowed as the container uses the host's network namespace`);
    }
    return own;
  }
  // In a network namespace of its own, low ports and ping need no privilege.
  return { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647', ...own };
}

function mountsOf(parts: SpecParts, privileged: boolean): OciMount[] {
  const { hostConfig, files } = parts;
  const taken = new Set(parts.mounts.map(({ destination }) => destination));
  const shm = numberOf(hostConfig, 'ShmSize') || defaultShmSize;
  if (shm < 0) throw invalid('SHM size can not be less than 0');
  const readonlyRoot = flagOf(hostConfig, 'ReadonlyRootfs');
  const ours = defaultMounts(shm).flatMap((mount): OciMount[] => {
    const { destination } = mount;
    if (taken.has(destination)) return [];
    // Mounted in the host's IPC namespace, /dev/mqueue shows the host's queues by itself.
    if (textOf(hostConfig, 'IpcMode') === 'host' && destination === '/dev/shm') {
      return [{ destination, type: 'bind', source: destination, options: ['rbind', 'rprivate'] }];
    }
    if (textOf(hostConfig, 'IpcMode') === 'none' && destination === '/dev/shm') return [];
    if (privileged && destination.startsWith('/sys'))
      return [{ ...mount, options: mount.options.filter((option) => option !== 'ro') }];
    return [mount];
  });
  const bind = (source: string, destination: string): OciMount => ({
    destination,
    type: 'bind',
    source,
    options: ['rbind', 'rprivate', ...(readonlyRoot ? ['ro'] : [])],
  });
  const written = [
    bind(files.resolvConf, '/etc/resolv.conf'),
    bind(files.hostname, '/etc/hostname'),
    bind(files.hosts, '/etc/hosts'),
  ].filter(({ destination }) => !taken.has(destination));
  // What lies deeper comes later, or it would be covered.
  const depth = ({ destination }: OciMount): number => path.posix.normalize(destination).split('/').length;
  const theirs = [...written, ...parts.mounts].toSorted((one, other) => depth(one) - depth(other));
  return [...ours, ...theirs];
}

/** Programs read the size when they start, which is before a client's first resize. Rows come first. */
function consoleSizeOf(hostConfig: Json): Pick<OciProcess, 'consoleSize'> {
  const size = hostConfig['ConsoleSize'];
  if (!Array.isArray(size)) return {};
  const [height, width] = size as unknown[];
  const fits = (value: unknown): value is number =>
    Number.isInteger(value) && Number(value) > 0 && Number(value) < 65_536;
  return fits(height) && fits(width) ? { consoleSize: { height, width } } : {};
}
