import { invalid } from '#base/errors.ts';
import { wholeAccess } from './default-spec.ts';
import { devicesAt } from './devices.ts';
import type { SpecRequest } from './request.ts';
import type { Resources, Spec } from './types.ts';

const wholePeriod = 100_000;

/** Limits, devices and the cgroup that they hold in. */
export async function addResources(spec: Spec, request: SpecRequest): Promise<void> {
  const { process, linux } = spec;
  const resources = (linux!.resources ??= {});
  addCpu(resources, request);
  if (request.memoryLimit !== undefined && request.memoryLimit !== 0) resources.memory = { limit: request.memoryLimit };
  if (request.rlimitNofile !== undefined) {
    const { soft, hard } = request.rlimitNofile;
    process!.rlimits = [{ type: 'RLIMIT_NOFILE', hard, soft }];
  }
  if (request.cgroup === '') delete linux!.cgroupsPath;
  else if (request.cgroup !== undefined) linux!.cgroupsPath = request.cgroup;
  for (const path of request.devices ?? []) await addDevices(spec, path);
}

function addCpu(resources: Resources, request: SpecRequest): void {
  const { cpus, cpuShares, cpuQuota, cpuPeriod, cpusetCpus, cpusetMems } = request;
  const cpu: NonNullable<Resources['cpu']> = {};
  const wholeCpus = cpus ?? 0;
  const quota = cpuQuota ?? -1;
  const period = cpuPeriod ?? 0;
  if (quota !== -1 || period !== 0) {
    if (wholeCpus > 0) throw invalid('--cpus: cannot be given together with --cpu-quota or --cpu-period');
    Object.assign(cpu, { quota, period });
  }
  if (wholeCpus > 0) Object.assign(cpu, { quota: Math.trunc(wholeCpus * wholePeriod), period: wholePeriod });
  if (cpuShares !== undefined && cpuShares > 0) cpu.shares = cpuShares;
  if (cpusetCpus !== undefined && cpusetCpus !== '') cpu.cpus = cpusetCpus;
  if (cpusetMems !== undefined && cpusetMems !== '') cpu.mems = cpusetMems;
  if (Object.keys(cpu).length > 0) resources.cpu = cpu;
}

/** `vendor.com/class=name` (Container Device Interface, SPEC.md). */
const qualified = /^[A-Za-z][\w.-]*\/[A-Za-z][\w.-]*=[\w.:-]+$/;

async function addDevices(spec: Spec, path: string): Promise<void> {
  if (qualified.test(path))
    throw invalid(`device "${path}": devices of the Container Device Interface are not supported: name a path in /dev`);
  for (const device of await devicesAt(path)) {
    const { type, major, minor } = device;
    (spec.linux!.devices ??= []).push(device);
    (spec.linux!.resources!.devices ??= []).push({ allow: true, type, major, minor, access: wholeAccess });
  }
}
