import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { HakoError, invalid, messageOf } from '#base/errors.ts';
import { changeCapabilities, checkCapabilities, ownCapabilities, setCapabilities } from './capabilities.ts';
import { defaultSpec, wholeAccess } from './default-spec.ts';
import { devicesAt } from './devices.ts';
import { mergeEnvironment } from './environment.ts';
import { parseMount } from './mount-flag.ts';
import type { ImageConfig, SpecRequest } from './request.ts';
import { addResources } from './resources.ts';
import { defaultSeccomp, readSeccomp } from './seccomp.ts';
import type { Linux, Process, Spec } from './types.ts';
import { resolveUser, withGroupsOf, type UserFiles } from './users.ts';

/** A spec whose parts are all there. */
type Draft = Spec & Required<Pick<Spec, 'process' | 'root' | 'mounts' | 'linux'>>;

/**
 * The spec of a new container, field by field as containerd's own client makes it. `users` is asked at most once, when
 * a user or its groups must be looked up in the container's root file system.
 */
export async function makeSpec(request: SpecRequest, users: () => Promise<UserFiles>): Promise<Spec> {
  check(request);
  let files: Promise<UserFiles> | undefined;
  const lookUp = (): Promise<UserFiles> => (files ??= users());
  const spec = defaultSpec(request.namespace, request.id) as Draft;
  const { process, linux } = spec;
  process.env = mergeEnvironment([], [...(await envFile(request.envFile)), ...(request.env ?? [])]);
  addMounts(spec, request.mounts ?? []);
  if (request.rootfs !== undefined) spec.root.path = request.rootfs;
  else await fromImage(process, request.image ?? {}, lookUp);
  addNamespaces(linux, request);
  if (request.readOnly === true) spec.root.readonly = true;
  if (request.args !== undefined && request.args.length > 0) process.args = [...request.args];
  if (isGiven(request.cwd)) process.cwd = request.cwd;
  if (isGiven(request.user))
    process.user = withGroupsOf(resolveUser(request.user, await lookUp()), request.user, await lookUp());
  if (request.tty === true) {
    process.terminal = true;
    process.env.push('TERM=xterm');
  }
  if (request.privileged === true) await makePrivileged(spec, request.privilegedWithoutHostDevices === true);
  if (request.netHost === true) joinHostNetwork(spec);
  changeCapabilities(process.capabilities!, request.capAdd ?? [], request.capDrop ?? []);
  if (request.seccomp === true) linux.seccomp = await seccompOf(request, process);
  if (isGiven(request.apparmorProfile)) process.apparmorProfile = request.apparmorProfile;
  if (request.allowNewPrivileges === true) delete process.noNewPrivileges;
  await addResources(spec, request);
  if (isGiven(request.rootfsPropagation)) linux.rootfsPropagation = request.rootfsPropagation;
  if (isGiven(request.rdtClass)) linux.intelRdt = { closID: request.rdtClass };
  if (isGiven(request.hostname)) spec.hostname = request.hostname;
  annotate(spec, { ...request.annotations, ...request.labels });
  if (process.env.length === 0) delete process.env;
  return spec;
}

/** Labels given on the command line stand in a spec as annotations. */
export function annotate(spec: Spec, annotations: Readonly<Record<string, string>>): void {
  if (Object.keys(annotations).length > 0) spec.annotations = { ...spec.annotations, ...annotations };
}

const isGiven = (text: string | undefined): text is string => text !== undefined && text !== '';

function check(request: SpecRequest): void {
  checkCapabilities('cap-add', request.capAdd ?? []);
  checkCapabilities('cap-drop', request.capDrop ?? []);
  if (request.privilegedWithoutHostDevices === true && request.privileged !== true)
    throw invalid('--privileged-without-host-devices: needs --privileged as well');
  if (isGiven(request.seccompProfile) && request.seccomp !== true)
    throw invalid('--seccomp-profile: needs --seccomp as well');
}

async function envFile(path: string | undefined): Promise<string[]> {
  if (!isGiven(path)) return [];
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new HakoError('not-found', `environment file "${path}": ${messageOf(error)}`, error);
  });
  return text.split('\n').map((line) => line.replace(/\r$/, ''));
}

function addMounts(spec: Draft, words: readonly string[]): void {
  const mounts = words.map(parseMount);
  const places = new Set(mounts.map(({ destination }) => destination));
  spec.mounts = [...spec.mounts.filter(({ destination }) => !places.has(destination)), ...mounts];
}

/** Where an image sets no variable at all. */
const usualPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

async function fromImage(process: Process, config: ImageConfig, lookUp: () => Promise<UserFiles>): Promise<void> {
  const base = config.Env ?? [];
  process.env = mergeEnvironment(base.length === 0 ? [usualPath] : base, process.env ?? []);
  const args = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  if (args.length > 0) process.args = args;
  process.cwd = isGiven(config.WorkingDir) ? config.WorkingDir : '/';
  const files = await lookUp();
  if (!isGiven(config.User)) {
    process.user = withGroupsOf(process.user, 'root', files);
    return;
  }
  const user = resolveUser(config.User, files);
  process.user = withGroupsOf(user, String(user.uid), files);
}

const namespaceTypes = ['pid', 'network', 'uts', 'mount', 'user', 'ipc', 'cgroup'];

function addNamespaces(linux: Linux, request: SpecRequest): void {
  const namespaces = linux.namespaces!;
  const { uidMappings = [], gidMappings = [] } = request;
  if (uidMappings.length > 0 && gidMappings.length > 0) {
    namespaces.push({ type: 'user' });
    linux.uidMappings = [...uidMappings];
    linux.gidMappings = [...gidMappings];
  }
  if (request.netHost === true) removeNamespace(linux, 'network');
  for (const word of request.withNs ?? []) {
    const [, type = '', path = ''] = /^([^:]*):(.*)$/s.exec(word) ?? [];
    if (!namespaceTypes.includes(type))
      throw invalid(`namespace "${word}" of --with-ns: must be TYPE:PATH, TYPE one of ${namespaceTypes.join(', ')}`);
    const at = namespaces.findIndex((one) => one.type === type);
    const joined = path === '' ? { type } : { type, path };
    if (at < 0) namespaces.push(joined);
    else namespaces[at] = joined;
  }
}

function removeNamespace(linux: Linux, type: string): void {
  const at = linux.namespaces!.findIndex((one) => one.type === type);
  if (at >= 0) linux.namespaces!.splice(at, 1);
}

function joinHostNetwork(spec: Draft): void {
  for (const file of ['/etc/hosts', '/etc/resolv.conf'])
    spec.mounts.push({ destination: file, type: 'bind', source: file, options: ['rbind', 'ro'] });
  spec.process.env = mergeEnvironment(spec.process.env ?? [], [`HOSTNAME=${hostname()}`]);
}

async function makePrivileged(spec: Draft, withoutDevices: boolean): Promise<void> {
  const { process, linux } = spec;
  setCapabilities(process.capabilities!, await ownCapabilities());
  delete linux.maskedPaths;
  delete linux.readonlyPaths;
  for (const mount of spec.mounts) {
    if (mount.type === 'sysfs' || mount.type === 'cgroup')
      mount.options = mount.options?.map((option) => (option === 'ro' ? 'rw' : option)) ?? [];
  }
  if (withoutDevices) return;
  linux.resources!.devices = [{ allow: true, access: wholeAccess }];
  linux.devices = await devicesAt('/dev');
}

/** After the capabilities: what may be called follows from them. */
async function seccompOf(request: SpecRequest, process: Process): Promise<unknown> {
  if (isGiven(request.seccompProfile)) return readSeccomp(request.seccompProfile);
  return defaultSeccomp(process.capabilities?.bounding ?? []);
}
