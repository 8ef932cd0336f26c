import { invalid, messageOf } from '#base/errors.ts';
import type { Linux, Process, Spec } from './types.ts';

/** Under this address containerd's clients keep specs, and processes of an exec, as JSON in an Any. */
const address = 'types.containerd.io/opencontainers/runtime-spec/1';
export const specType = `${address}/Spec`;
export const processType = `${address}/Process`;

/** An Any of containerd's: what is in it, and its bytes. */
export interface AnyWords {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

type Fields = Readonly<Record<string, unknown>>;

const words = (text: string): string[] => text.trim().split(/\s+/);

/** The order in which Go's types print their fields; what is not named here follows as it came. */
const orders = {
  spec: words('ociVersion process root hostname domainname mounts hooks annotations linux'),
  process: words(`
    terminal consoleSize user args commandLine env cwd capabilities rlimits noNewPrivileges apparmorProfile oomScoreAdj
    scheduler selinuxLabel
  `),
  capabilities: words('bounding effective inheritable permitted ambient'),
  linux: words(`
    uidMappings gidMappings sysctl resources cgroupsPath namespaces devices seccomp rootfsPropagation maskedPaths
    readonlyPaths mountLabel intelRdt
  `),
  resources: words('devices memory cpu pids blockIO'),
  cpu: words('shares quota burst period realtimeRuntime realtimePeriod cpus mems'),
};

const inOrder = (fields: Fields, names: readonly string[]): Fields => {
  const known = names.filter((name) => fields[name] !== undefined);
  return { ...Object.fromEntries(known.map((name) => [name, fields[name]])), ...fields };
};

function orderedProcess(process: Process): Fields {
  const { capabilities } = process;
  return inOrder(
    capabilities === undefined
      ? { ...process }
      : { ...process, capabilities: inOrder({ ...capabilities }, orders.capabilities) },
    orders.process,
  );
}

function orderedLinux(linux: Linux): Fields {
  const { resources } = linux;
  if (resources === undefined) return inOrder({ ...linux }, orders.linux);
  const cpu = resources.cpu === undefined ? undefined : inOrder(resources.cpu, orders.cpu);
  return inOrder({ ...linux, resources: inOrder({ ...resources, cpu }, orders.resources) }, orders.linux);
}

function orderedSpec(spec: Spec): Fields {
  const { process, linux, annotations } = spec;
  return inOrder(
    {
      ...spec,
      ...(process === undefined ? {} : { process: orderedProcess(process) }),
      ...(linux === undefined ? {} : { linux: orderedLinux(linux) }),
      ...(annotations === undefined ? {} : { annotations: byKey(annotations) }),
    },
    orders.spec,
  );
}

/** Go prints maps by their keys. */
const byKey = (map: Readonly<Record<string, string>>): Fields =>
  Object.fromEntries(
    Object.entries(map).sort(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other))),
  );

/** Parses JSON; whole numbers that a double cannot hold become bigints (a limit of 2^64-1 means none). */
export function parseExactly(text: string): unknown {
  return JSON.parse(text, function revive(this: unknown, _key: string, value: unknown, context?: { source?: string }) {
    return typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context!.source!)
      : value;
  } as (this: unknown, key: string, value: unknown) => unknown);
}

const rawJson = (text: string): unknown => (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);

/** The counterpart of parseExactly. */
export const printExactly = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? rawJson(String(one)) : one));

export const packSpec = (spec: Spec): AnyWords => pack(specType, orderedSpec(spec));
export const packProcess = (process: Process): AnyWords => pack(processType, orderedProcess(process));

const pack = (typeUrl: string, value: Fields): AnyWords => ({ typeUrl, value: Buffer.from(printExactly(value)) });

/** The spec of a container. */
export function unpackSpec(packed: AnyWords | undefined, id: string): Spec {
  if (packed === undefined || packed.value.length === 0) throw invalid(`container "${id}" has no spec`);
  return parseSpec(Buffer.from(packed.value).toString(), `the spec of container "${id}"`);
}

/** A spec out of JSON text; `what` is it for the error. */
export function parseSpec(text: string, what: string): Spec {
  let spec: unknown;
  try {
    spec = parseExactly(text);
  } catch (error) {
    throw invalid(`${what} is not JSON: ${messageOf(error)}`, error);
  }
  if (typeof spec !== 'object' || spec === null || Array.isArray(spec)) throw invalid(`${what} is not a JSON object`);
  return spec as Spec;
}
