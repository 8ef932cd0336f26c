import { invalid } from '#base/errors.ts';
import { findNumber, flagOf, numberOf, objectsOf, textOf, textsOf, type Json } from '../engine/fields.ts';
import { defaultDeviceRules } from './defaults.ts';
import type { OciDeviceRule, OciProcess, OciResources } from './types.ts';

const minimumMemory = 6 * 1024 * 1024;

/** Limits of a HostConfig in the OCI spec's words. invalid-argument in Docker's words where they contradict themselves. */
export function resourcesOf(hostConfig: Json, devices: readonly OciDeviceRule[], privileged: boolean): OciResources {
  const memory = memoryOf(hostConfig);
  const cpu = cpuOf(hostConfig);
  const pids = findNumber(hostConfig, 'PidsLimit') ?? 0;
  const weight = numberOf(hostConfig, 'BlkioWeight');
  if (weight !== 0 && (weight < 10 || weight > 1000)) throw invalid('Range of blkio weight is from 10 to 1000');
  return {
    devices: privileged
      ? [{ allow: true, access: 'rwm' }]
      : [...defaultDeviceRules, ...devices, ...ownRules(hostConfig)],
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    // Docker's 0 is no limit, as is -1.
    ...(pids === 0 ? {} : { pids: { limit: pids } }),
    ...(weight === 0 ? {} : { blockIO: { weight } }),
  };
}

function memoryOf(hostConfig: Json): NonNullable<OciResources['memory']> {
  const limit = numberOf(hostConfig, 'Memory');
  const swap = numberOf(hostConfig, 'MemorySwap');
  const reservation = numberOf(hostConfig, 'MemoryReservation');
  const swappiness = findNumber(hostConfig, 'MemorySwappiness') ?? -1;
  if (limit !== 0 && limit < minimumMemory) throw invalid('Minimum memory limit allowed is 6MB');
  if (limit > 0 && swap > 0 && swap < limit)
    throw invalid('Minimum memoryswap limit should be larger than memory limit, see usage');
  if (limit === 0 && swap > 0)
    throw invalid('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (limit > 0 && reservation > limit)
    throw invalid('Minimum memory limit can not be less than memory reservation limit, see usage');
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100)) {
    throw invalid(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`);
  }
  return {
    ...(limit === 0 ? {} : { limit }),
    // Without a word about swap a container gets as much of it as memory.
    ...(limit > 0 && swap === 0 ? { swap: limit * 2 } : swap === 0 ? {} : { swap }),
    ...(reservation === 0 ? {} : { reservation }),
    ...(swappiness === -1 ? {} : { swappiness }),
    ...(flagOf(hostConfig, 'OomKillDisable') ? { disableOOMKiller: true } : {}),
  };
}

function cpuOf(hostConfig: Json): NonNullable<OciResources['cpu']> {
  const nano = numberOf(hostConfig, 'NanoCpus');
  let quota = numberOf(hostConfig, 'CpuQuota');
  let period = numberOf(hostConfig, 'CpuPeriod');
  if (nano < 0) throw invalid('Range of CPUs is from 0.01 up');
  if (nano > 0) {
    if (period > 0) throw invalid('Conflicting options: Nano CPUs and CPU Period cannot both be set.');
    if (quota > 0) throw invalid('Conflicting options: Nano CPUs and CPU Quota cannot both be set.');
    period = 100_000;
    quota = Math.trunc((nano * period) / 1e9);
  }
  if (period !== 0 && (period < 1000 || period > 1_000_000)) {
    throw invalid('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  }
  if (quota > 0 && quota < 1000) throw invalid('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  const shares = numberOf(hostConfig, 'CpuShares');
  const cpus = textOf(hostConfig, 'CpusetCpus');
  const mems = textOf(hostConfig, 'CpusetMems');
  const realtimePeriod = numberOf(hostConfig, 'CpuRealtimePeriod');
  const realtimeRuntime = numberOf(hostConfig, 'CpuRealtimeRuntime');
  return {
    ...(shares === 0 ? {} : { shares }),
    ...(quota === 0 ? {} : { quota }),
    ...(period === 0 ? {} : { period }),
    ...(cpus === '' ? {} : { cpus }),
    ...(mems === '' ? {} : { mems }),
    ...(realtimePeriod === 0 ? {} : { realtimePeriod }),
    ...(realtimeRuntime === 0 ? {} : { realtimeRuntime }),
  };
}

/** `--device-cgroup-rule`: `c 13:* rwm`. */
function ownRules(hostConfig: Json): OciDeviceRule[] {
  return textsOf(hostConfig, 'DeviceCgroupRules').map((rule) => {
    const matched = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(rule);
    if (matched === null) throw invalid(`invalid device cgroup rule format: '${rule}'`);
    const [, type = 'a', major = '*', minor = '*', access = 'rwm'] = matched;
    return {
      allow: true,
      type,
      access,
      ...(major === '*' ? {} : { major: Number(major) }),
      ...(minor === '*' ? {} : { minor: Number(minor) }),
    };
  });
}

/** Names that setrlimit(2) knows, as Docker spells them. */
const limits = new Set(
  'core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack'.split(' '),
);

export function rlimitsOf(hostConfig: Json): NonNullable<OciProcess['rlimits']> {
  return objectsOf(hostConfig, 'Ulimits').map((limit) => {
    const name = textOf(limit, 'Name').toLowerCase();
    if (!limits.has(name)) throw invalid(`invalid ulimit type: ${name}`);
    const soft = numberOf(limit, 'Soft');
    const hard = numberOf(limit, 'Hard', soft);
    if (hard !== -1 && (soft === -1 || soft > hard)) {
      throw invalid(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
    }
    return { type: `RLIMIT_${name.toUpperCase()}`, hard: unlimited(hard), soft: unlimited(soft) };
  });
}

/** RLIM_INFINITY is 2^64-1, which JSON numbers of ours cannot say; the kernel takes anything so large as no limit. */
const unlimited = (value: number): number => (value < 0 ? Number.MAX_SAFE_INTEGER : value);
