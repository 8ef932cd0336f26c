import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { codeOf, HakoError, invalid } from '#base/errors.ts';
import { parsePlatform } from '#base/platforms.ts';
import { formatReference, normalizeReference } from '#base/reference.ts';
import type { Image } from '#client/containerd/images.ts';
import type { ContainerRequest } from '#client/containerd/new-container.ts';
import { runtimeOptions } from '#client/containerd/runtime-options.ts';
import { cniExtension } from '#client/cni-extension.ts';
import { parseIdMapping } from '#client/spec/id-mappings.ts';
import type { SpecRequest } from '#client/spec/request.ts';
import type { Parsed } from '../../flags.ts';
import type { Context } from '../command.ts';
import { findImage } from '../image-names.ts';
import { pairs } from '../parse.ts';
import type { allRunFlags, createFlags } from './container-flags.ts';
import { decimal, number } from './numbers.ts';

/** The flags of `run`, all of them; those that `create` does not have are as if they were not given. */
type RunFlags = Parsed<typeof allRunFlags>['flags'];
export type CreateParsed = Parsed<typeof createFlags>;
export type RunParsed = Parsed<typeof allRunFlags>;

/** What stands behind the flags. */
export interface Operands {
  readonly id: string;
  /** An image, or the path of a root file system; undefined with --config. */
  readonly source: string | undefined;
  readonly args: readonly string[];
}

export function operandsOf({ given, rest }: CreateParsed | RunParsed): Operands {
  if (given.has('config')) {
    if (rest.length > 1) throw invalid('with spec config file, only container id should be provided');
    return { id: required(rest[0], 'container id'), source: undefined, args: [] };
  }
  const [source, id, ...args] = rest;
  return { source: required(source, 'image ref'), id: required(id, 'container id'), args };
}

function required(word: string | undefined, what: string): string {
  if (word === undefined || word === '') throw invalid(`${what} must be provided`);
  return word;
}

/** Everything that the flags ask of the new container; the image is looked up. */
export async function containerRequest(context: Context, parsed: CreateParsed | RunParsed): Promise<ContainerRequest> {
  const { id, source, args } = operandsOf(parsed);
  const flags = parsed.flags as RunFlags;
  refuse(parsed);
  await checkDefaultProfile(flags['apparmor-default-profile']);
  const options = runtimeOptions({
    runtime: flags.runtime,
    configPath: flags['runtime-config-path'],
    runcBinary: flags['runc-binary'],
    runcRoot: flags['runc-root'],
    systemdCgroup: flags['runc-systemd-cgroup'],
    cgroup: flags.cgroup,
  });
  const common = {
    id,
    labels: pairs(flags.label),
    runtime: { name: flags.runtime, options },
    sandbox: flags.sandbox,
    extensions: flags.cni === true ? cniExtension : {},
  };
  if (source === undefined) return { ...common, spec: { file: flags.config ?? '' } };
  if (flags.rootfs) return { ...common, spec: specRequest(parsed, args, resolve(source)) };
  const spec = specRequest(parsed, args, undefined);
  return { ...common, spec, image: await imageRequest(context, flags, source) };
}

async function imageRequest(context: Context, flags: RunFlags, name: string): Promise<ContainerRequest['image']> {
  const { platform } = flags;
  return {
    image: await wantedImage(context, name),
    platform: platform === undefined || platform === '' ? undefined : parsePlatform(platform),
    snapshotter: flags.snapshotter,
    snapshotLabels: pairs(flags['snapshotter-label']),
    remapLabels: flags['remap-labels'],
    syncFs: flags['sync-fs'],
  };
}

/** Nothing is pulled by itself, as `ctr` has it; the error says how to. */
async function wantedImage(context: Context, name: string): Promise<Image> {
  try {
    return await findImage(context, name);
  } catch (error) {
    if (codeOf(error) !== 'not-found' || !(error instanceof HakoError) || error.message.includes('; ')) throw error;
    throw new HakoError('not-found', `${error.message}: pull it first: hakoctl images pull ${wholeName(name)}`, error);
  }
}

function wholeName(name: string): string {
  try {
    return formatReference(normalizeReference(name));
  } catch {
    return name;
  }
}

function refuse({ flags, given }: CreateParsed | RunParsed): void {
  const nothing: readonly (readonly [keyof typeof flags, string])[] = [
    ['gpus', 'name their devices with --device instead'],
    ['blockio-class', 'block devices cannot be classed: write "blockIO" into a spec for --config'],
    ['blockio-config-file', 'block devices cannot be classed: write "blockIO" into a spec for --config'],
  ];
  for (const [name, instead] of nothing)
    if (given.has(name)) throw new HakoError('unimplemented', `--${name} is not supported: ${instead}`);
  if (given.has('apparmor-profile') && given.has('apparmor-default-profile'))
    throw invalid('--apparmor-profile: conflicts with --apparmor-default-profile');
}

function specRequest(
  { flags: some, given }: CreateParsed | RunParsed,
  args: readonly string[],
  rootfs: string | undefined,
): Omit<SpecRequest, 'id' | 'namespace' | 'image' | 'labels'> {
  const flags = some as RunFlags;
  return {
    rootfs,
    args,
    env: flags.env,
    envFile: flags['env-file'],
    mounts: flags.mount,
    cwd: flags.cwd,
    user: flags.user,
    tty: flags.tty,
    readOnly: flags['read-only'],
    privileged: flags.privileged,
    privilegedWithoutHostDevices: flags['privileged-without-host-devices'],
    netHost: flags['net-host'],
    allowNewPrivileges: given.has('allow-new-privs'),
    annotations: annotations(flags.annotation),
    capAdd: flags['cap-add'],
    capDrop: flags['cap-drop'],
    seccomp: flags.seccomp,
    seccompProfile: flags['seccomp-profile'],
    apparmorProfile: flags['apparmor-profile'] ?? flags['apparmor-default-profile'],
    devices: flags.device,
    withNs: flags['with-ns'],
    cgroup: given.has('cgroup') ? (flags.cgroup ?? '') : undefined,
    rootfsPropagation: flags['rootfs-propagation'],
    rdtClass: flags['rdt-class'],
    hostname: flags.hostname,
    uidMappings: rootfs === undefined ? (flags.uidmap ?? []).map(parseIdMapping) : [],
    gidMappings: rootfs === undefined ? (flags.gidmap ?? []).map(parseIdMapping) : [],
    ...limits(flags),
  };
}

const limits = (flags: RunFlags): Partial<SpecRequest> => ({
  cpus: decimal('cpus', flags.cpus),
  cpuShares: number('cpu-shares', flags['cpu-shares']),
  cpuQuota: number('cpu-quota', flags['cpu-quota']),
  cpuPeriod: number('cpu-period', flags['cpu-period'], 0),
  cpusetCpus: flags['cpuset-cpus'],
  cpusetMems: flags['cpuset-mems'],
  memoryLimit: number('memory-limit', flags['memory-limit'], 0),
  rlimitNofile: openFiles(flags['rlimit-nofile']),
});

function openFiles(text: string | undefined): { soft: number; hard: number } | undefined {
  if (text === undefined || text === '') return undefined;
  const [soft, hard = soft, ...more] = text.split(':');
  if (more.length > 0) throw invalid(`--rlimit-nofile "${text}": must be SOFT or SOFT:HARD`);
  return { soft: number('rlimit-nofile', soft, 0) ?? 0, hard: number('rlimit-nofile', hard, 0) ?? 0 };
}

function annotations(words: readonly string[]): Record<string, string> {
  const bare = words.find((word) => !word.includes('='));
  if (bare !== undefined) throw invalid(`annotation "${bare}": must be KEY=VALUE`);
  return pairs(words);
}

const loadedProfiles = '/sys/kernel/security/apparmor/profiles';

/** `ctr` would write a profile and load it; we take one that is loaded: what it holds is for whoever sets up the machine. */
async function checkDefaultProfile(name: string | undefined): Promise<void> {
  if (name === undefined || name === '') return;
  const loaded = await readFile(loadedProfiles, 'utf8').catch(() => undefined);
  if (loaded === undefined)
    throw new HakoError('failed-precondition', '--apparmor-default-profile: AppArmor is not enabled on this machine');
  if (!loaded.split('\n').some((line) => line.startsWith(`${name} (`)))
    throw new HakoError(
      'failed-precondition',
      `AppArmor profile "${name}" is not loaded: load it with apparmor_parser, or name another one`,
    );
}
