import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import path from 'node:path';
import { HakoError } from '#base/errors.ts';
import { MetricsSchema as MetricsV1 } from '#proto/gen/io/containerd/cgroups/v1/metrics_pb.ts';
import { MetricsSchema as MetricsV2 } from '#proto/gen/io/containerd/cgroups/v2/metrics_pb.ts';
import { readOptional } from './cgroups.ts';

const greatest = 0xffffffffffffffffn;

/** A number from a file; `max` and -1 mean that there is no limit, a missing file means 0. */
function number(file: string): bigint {
  const text = readOptional(file);
  if (text === 'max' || text === '-1') return greatest;
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}

/** A file of `name value` lines. */
function table(file: string): Map<string, bigint> {
  const pairs = readOptional(file)
    .split('\n')
    .map((line) => line.split(/\s+/));
  return new Map(
    pairs
      .filter(([name, value]) => name !== undefined && /^\d+$/.test(value ?? ''))
      .map(([name, value]) => [name!, BigInt(value!)]),
  );
}

/** The fields of a message that a table has under their own names, turned from snake_case. */
function fields(from: ReadonlyMap<string, bigint>): Record<string, bigint> {
  return Object.fromEntries(
    [...from].map(([name, value]) => [
      name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
}

/** cgroup v1 counts time of user and kernel in ticks of a hundredth of a second (USER_HZ). */
const nanosecondsPerTick = 10_000_000n;

function memoryV1(directory: string): NonNullable<MessageInitShape<typeof MetricsV1>['memory']> {
  const stat = table(path.join(directory, 'memory.stat'));
  const entry = (prefix: string) => ({
    limit: number(path.join(directory, `memory.${prefix}limit_in_bytes`)),
    usage: number(path.join(directory, `memory.${prefix}usage_in_bytes`)),
    max: number(path.join(directory, `memory.${prefix}max_usage_in_bytes`)),
    failcnt: number(path.join(directory, `memory.${prefix}failcnt`)),
  });
  const known = fields(stat);
  const renamed = {
    pgPgIn: stat.get('pgpgin') ?? 0n,
    pgPgOut: stat.get('pgpgout') ?? 0n,
    pgFault: stat.get('pgfault') ?? 0n,
    pgMajFault: stat.get('pgmajfault') ?? 0n,
    totalPgPgIn: stat.get('total_pgpgin') ?? 0n,
    totalPgPgOut: stat.get('total_pgpgout') ?? 0n,
    totalPgFault: stat.get('total_pgfault') ?? 0n,
    totalPgMajFault: stat.get('total_pgmajfault') ?? 0n,
    hierarchicalSwapLimit: stat.get('hierarchical_memsw_limit') ?? 0n,
  };
  return {
    ...known,
    ...renamed,
    usage: entry(''),
    swap: entry('memsw.'),
    kernel: entry('kmem.'),
    kernelTcp: entry('kmem.tcp.'),
  };
}

function blockV1(directory: string, file: string): { op: string; major: bigint; minor: bigint; value: bigint }[] {
  const lines = readOptional(path.join(directory, file)).split('\n');
  return lines.flatMap((line) => {
    const match = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line);
    return match === null
      ? []
      : [{ major: BigInt(match[1]!), minor: BigInt(match[2]!), op: match[3]!, value: BigInt(match[4]!) }];
  });
}

function metricsV1(cgroups: Readonly<Record<string, string>>): Uint8Array {
  const metrics: MessageInitShape<typeof MetricsV1> = {};
  const { pids, memory, cpuacct, cpu, blkio } = cgroups;
  if (pids !== undefined) {
    const limit = number(path.join(pids, 'pids.max'));
    metrics.pids = { current: number(path.join(pids, 'pids.current')), limit: limit === greatest ? 0n : limit };
  }
  if (cpuacct !== undefined) {
    const stat = table(path.join(cpuacct, 'cpuacct.stat'));
    const perCpu = readOptional(path.join(cpuacct, 'cpuacct.usage_percpu'))
      .split(/\s+/)
      .filter((text) => text !== '')
      .map(BigInt);
    const usage = {
      total: number(path.join(cpuacct, 'cpuacct.usage')),
      user: (stat.get('user') ?? 0n) * nanosecondsPerTick,
      kernel: (stat.get('system') ?? 0n) * nanosecondsPerTick,
      perCpu,
    };
    const throttled = table(path.join(cpu ?? cpuacct, 'cpu.stat'));
    const throttling = {
      periods: throttled.get('nr_periods') ?? 0n,
      throttledPeriods: throttled.get('nr_throttled') ?? 0n,
      throttledTime: throttled.get('throttled_time') ?? 0n,
    };
    metrics.cpu = { usage, throttling };
  }
  if (memory !== undefined) {
    metrics.memory = memoryV1(memory);
    const oom = table(path.join(memory, 'memory.oom_control'));
    metrics.memoryOomControl = fields(oom);
  }
  if (blkio !== undefined) {
    metrics.blkio = {
      ioServiceBytesRecursive: blockV1(blkio, 'blkio.throttle.io_service_bytes_recursive'),
      ioServicedRecursive: blockV1(blkio, 'blkio.throttle.io_serviced_recursive'),
    };
  }
  return toBinary(MetricsV1, create(MetricsV1, metrics));
}

function ioV2(directory: string): Record<string, bigint>[] {
  return readOptional(path.join(directory, 'io.stat'))
    .split('\n')
    .flatMap((line) => {
      const [device = '', ...pairs] = line.split(' ');
      const match = /^(\d+):(\d+)$/.exec(device);
      if (match === null) return [];
      const values = new Map(pairs.map((pair) => pair.split('=') as [string, string]));
      const of = (name: string): bigint => BigInt(values.get(name) ?? 0);
      return [
        {
          major: BigInt(match[1]!),
          minor: BigInt(match[2]!),
          rbytes: of('rbytes'),
          wbytes: of('wbytes'),
          rios: of('rios'),
          wios: of('wios'),
        },
      ];
    });
}

function metricsV2(directory: string): Uint8Array {
  const file = (name: string): string => path.join(directory, name);
  const pidsLimit = number(file('pids.max'));
  const metrics: MessageInitShape<typeof MetricsV2> = {
    pids: { current: number(file('pids.current')), limit: pidsLimit === greatest ? 0n : pidsLimit },
    cpu: fields(table(file('cpu.stat'))),
    memory: {
      ...fields(table(file('memory.stat'))),
      usage: number(file('memory.current')),
      usageLimit: number(file('memory.max')),
      swapUsage: number(file('memory.swap.current')),
      swapLimit: number(file('memory.swap.max')),
      maxUsage: number(file('memory.peak')),
    },
    memoryEvents: fields(table(file('memory.events'))),
    io: { usage: ioV2(directory) },
  };
  return toBinary(MetricsV2, create(MetricsV2, metrics));
}

/** What a container uses, as containerd's own shim encodes it. failed-precondition when it has no cgroup. */
export function statsOf(cgroups: Readonly<Record<string, string>>, id: string): { typeUrl: string; value: Uint8Array } {
  const unified = cgroups[''];
  if (unified !== undefined) return { typeUrl: MetricsV2.typeName, value: metricsV2(unified) };
  if (Object.keys(cgroups).length === 0)
    throw new HakoError('failed-precondition', `task "${id}": has no cgroup of its own to measure`);
  return { typeUrl: MetricsV1.typeName, value: metricsV1(cgroups) };
}
