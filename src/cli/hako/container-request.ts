import { UsageFailure } from '../failure.ts';
import { wholeNumber, type Parsed } from '../flags.ts';
import type { createFlags } from './create-flags.ts';
import { mounts, volumes } from './mounts.ts';
import { publish } from './ports.ts';
import {
  bytes,
  devices,
  environmentOf,
  nanoCpus,
  nanoseconds,
  pairs,
  readPairs,
  restartPolicy,
  ulimits,
} from './values.ts';

export type CreateParsed = Parsed<typeof createFlags>;

export interface ContainerRequest {
  readonly [key: string]: unknown;
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly Tty: boolean;
  readonly Image: string;
}

/** The body of `POST /containers/create` for a command line of `run` or `create`. */
export function containerRequest(
  parsed: CreateParsed,
  own: Readonly<Record<string, string | undefined>>,
): ContainerRequest {
  const { flags, given } = parsed;
  const [image = '', ...words] = parsed.rest;
  if (flags.init) throw new UsageFailure('--init is not implemented');
  const streams = attached(flags.attach, flags.interactive);
  const { bindings, exposed } = publish(flags.publish, flags.expose);
  const { binds, anonymous } = volumes(flags.volume);
  const stopTimeout = wholeNumber('--stop-timeout', flags['stop-timeout']);
  return {
    Hostname: flags.hostname ?? '',
    Domainname: flags.domainname ?? '',
    User: flags.user ?? '',
    ...streams,
    Tty: flags.tty,
    OpenStdin: flags.interactive,
    // Whoever is attached from the beginning is the only one who will ever type: with him goes the input.
    StdinOnce: flags.interactive && streams.AttachStdin,
    Env: environmentOf(flags['env-file'], flags.env, own),
    Cmd: words.length === 0 ? null : words,
    Image: image,
    ...(given.has('entrypoint') ? { Entrypoint: [flags.entrypoint ?? ''] } : {}),
    WorkingDir: flags.workdir ?? '',
    Labels: pairs([...flags['label-file'].flatMap((file) => readPairs('--label-file', file)), ...flags.label]),
    ExposedPorts: exposed,
    Volumes: anonymous,
    ...(flags['stop-signal'] === undefined ? {} : { StopSignal: flags['stop-signal'] }),
    ...(stopTimeout === undefined ? {} : { StopTimeout: stopTimeout }),
    ...healthcheck(parsed),
    HostConfig: { Binds: binds, PortBindings: bindings, ...hostConfig(parsed), ...resources(parsed) },
    NetworkingConfig: { EndpointsConfig: endpoint(parsed) },
  };
}

function attached(
  asked: readonly string[],
  interactive: boolean,
): Pick<ContainerRequest, 'AttachStdin' | 'AttachStdout' | 'AttachStderr'> {
  const names = asked.map((name) => name.toLowerCase());
  const wrong = names.find((name) => !['stdin', 'stdout', 'stderr'].includes(name));
  if (wrong !== undefined)
    throw new UsageFailure(`invalid argument "${wrong}" for --attach: valid streams are STDIN, STDOUT and STDERR`);
  return {
    AttachStdin: interactive || names.includes('stdin'),
    AttachStdout: names.length === 0 || names.includes('stdout'),
    AttachStderr: names.length === 0 || names.includes('stderr'),
  };
}

function hostConfig({ flags }: CreateParsed): Record<string, unknown> {
  const restart = restartPolicy(flags.restart);
  if (flags.rm && restart.Name !== 'no')
    throw new UsageFailure('conflicting options: cannot specify both --restart and --rm');
  return {
    ContainerIDFile: flags.cidfile ?? '',
    NetworkMode: flags.network ?? 'default',
    RestartPolicy: restart,
    AutoRemove: flags.rm,
    Privileged: flags.privileged,
    PublishAllPorts: flags['publish-all'],
    ReadonlyRootfs: flags['read-only'],
    CapAdd: flags['cap-add'],
    CapDrop: flags['cap-drop'],
    GroupAdd: flags['group-add'],
    Dns: flags.dns,
    DnsOptions: flags['dns-option'],
    DnsSearch: flags['dns-search'],
    ExtraHosts: flags['add-host'],
    Links: flags.link,
    VolumesFrom: flags['volumes-from'],
    VolumeDriver: flags['volume-driver'] ?? '',
    IpcMode: flags.ipc ?? '',
    PidMode: flags.pid ?? '',
    UTSMode: flags.uts ?? '',
    UsernsMode: flags.userns ?? '',
    CgroupnsMode: flags.cgroupns ?? '',
    SecurityOpt: flags['security-opt'],
    StorageOpt: pairs(flags['storage-opt']),
    Sysctls: pairs(flags.sysctl),
    Annotations: pairs(flags.annotation),
    Tmpfs: pairs(flags.tmpfs, ':'),
    Mounts: mounts(flags.mount),
    ShmSize: bytes('--shm-size', flags['shm-size']) ?? 0,
    Runtime: flags.runtime ?? '',
    LogConfig: { Type: flags['log-driver'] ?? '', Config: pairs(flags['log-opt']) },
    OomScoreAdj: wholeNumber('--oom-score-adj', flags['oom-score-adj']) ?? 0,
  };
}

function resources({ flags }: CreateParsed): Record<string, unknown> {
  const number = (
    name: 'cpu-shares' | 'cpu-period' | 'cpu-quota' | 'cpu-rt-period' | 'cpu-rt-runtime' | 'blkio-weight',
  ): number => wholeNumber(`--${name}`, flags[name]) ?? 0;
  const swap = flags['memory-swap'];
  const swappiness = wholeNumber('--memory-swappiness', flags['memory-swappiness']);
  const pids = wholeNumber('--pids-limit', flags['pids-limit']);
  return {
    Memory: bytes('--memory', flags.memory) ?? 0,
    MemoryReservation: bytes('--memory-reservation', flags['memory-reservation']) ?? 0,
    MemorySwap: swap === '-1' ? -1 : (bytes('--memory-swap', swap) ?? 0),
    ...(swappiness === undefined ? {} : { MemorySwappiness: swappiness }),
    OomKillDisable: flags['oom-kill-disable'],
    NanoCpus: nanoCpus('--cpus', flags.cpus) ?? 0,
    CpuShares: number('cpu-shares'),
    CpuPeriod: number('cpu-period'),
    CpuQuota: number('cpu-quota'),
    CpuRealtimePeriod: number('cpu-rt-period'),
    CpuRealtimeRuntime: number('cpu-rt-runtime'),
    CpusetCpus: flags['cpuset-cpus'] ?? '',
    CpusetMems: flags['cpuset-mems'] ?? '',
    BlkioWeight: number('blkio-weight'),
    ...(pids === undefined ? {} : { PidsLimit: pids }),
    Ulimits: ulimits(flags.ulimit),
    Devices: devices(flags.device),
    DeviceCgroupRules: flags['device-cgroup-rule'],
    CgroupParent: flags['cgroup-parent'] ?? '',
    ...(flags.gpus === undefined ? {} : { DeviceRequests: [gpuRequest(flags.gpus)] }),
  };
}

const gpuRequest = (text: string): Record<string, unknown> => {
  if (text !== 'all' && !/^\d{1,4}$/.test(text))
    throw new UsageFailure(`invalid argument "${text}" for --gpus: must be "all" or a number`);
  return { Count: text === 'all' ? -1 : Number(text), Capabilities: [['gpu']] };
};

function endpoint({ flags }: CreateParsed): Record<string, unknown> {
  const config = {
    ...(flags['network-alias'].length === 0 ? {} : { Aliases: flags['network-alias'] }),
    ...(flags['mac-address'] === undefined ? {} : { MacAddress: flags['mac-address'] }),
    ...(flags.ip === undefined && flags.ip6 === undefined
      ? {}
      : { IPAMConfig: { IPv4Address: flags.ip ?? '', IPv6Address: flags.ip6 ?? '' } }),
  };
  return Object.keys(config).length === 0 ? {} : { [flags.network ?? 'default']: config };
}

function healthcheck({ flags }: CreateParsed): Record<string, unknown> {
  const times = {
    Interval: nanoseconds('--health-interval', flags['health-interval']),
    Timeout: nanoseconds('--health-timeout', flags['health-timeout']),
    StartPeriod: nanoseconds('--health-start-period', flags['health-start-period']),
    StartInterval: nanoseconds('--health-start-interval', flags['health-start-interval']),
    Retries: wholeNumber('--health-retries', flags['health-retries']),
  };
  const set = Object.fromEntries(Object.entries(times).filter(([, value]) => value !== undefined));
  const asked = flags['health-cmd'] !== undefined || Object.keys(set).length > 0;
  if (flags['no-healthcheck']) {
    if (asked) throw new UsageFailure('--no-healthcheck conflicts with --health-* options');
    return { Healthcheck: { Test: ['NONE'] } };
  }
  if (!asked) return {};
  return {
    Healthcheck: { ...(flags['health-cmd'] === undefined ? {} : { Test: ['CMD-SHELL', flags['health-cmd']] }), ...set },
  };
}
