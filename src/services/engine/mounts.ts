import { mkdir, readdir, stat } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { HakoError, invalid, unimplemented } from '#base/errors.ts';
import type { Mount } from '#core/mounts.ts';
import type { OciMount } from '../spec/types.ts';
import type { ContainerConfig } from './config.ts';
import { flagOf, numberOf, objectOf, objectsOf, textMapOf, textOf, textsOf, type Json } from './fields.ts';
import type { EngineHouse } from './house.ts';
import type { MountPoint } from './record.ts';

/** What a container wants to have put into it, before anything was made for it. */
export interface MountPlan {
  readonly point: MountPoint;
  /** tmpfs options, or those of a bind beyond read-only. */
  readonly options: readonly string[];
  /** Fill a new volume from the image. */
  readonly copyUp: boolean;
  /** Make the host's directory when it is missing, as `-v` does and `--mount` does not. */
  readonly createSource: boolean;
}

const propagations = new Set(['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared']);
/** Words that mean something only on other systems. */
const idle = new Set(['z', 'Z', 'consistent', 'cached', 'delegated', 'nocopy', 'copy', 'rw', 'ro']);
const volumeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}$/;

/** Every mount that a request asks for, one for each place. The later kinds lose: `-v` and `--mount` win over VOLUME. */
export function planMounts(house: Pick<EngineHouse, 'root'>, config: ContainerConfig, hostConfig: Json): MountPlan[] {
  const plans = new Map<string, MountPlan>();
  const add = (plan: MountPlan): void => {
    const { Destination } = plan.point;
    if (plans.has(Destination)) throw invalid(`Duplicate mount point: ${Destination}`);
    plans.set(Destination, plan);
  };
  if (textsOf(hostConfig, 'VolumesFrom').length > 0)
    throw unimplemented('taking volumes from another container (--volumes-from)');
  for (const bind of textsOf(hostConfig, 'Binds')) add(planBind(house, bind));
  for (const mount of objectsOf(hostConfig, 'Mounts')) add(planMount(house, mount));
  for (const [destination, options] of Object.entries(textMapOf(hostConfig, 'Tmpfs'))) {
    add(tmpfs(checkDestination(destination), options === '' ? [] : options.split(',')));
  }
  for (const place of Object.keys(config.Volumes ?? {})) {
    const destination = checkDestination(place);
    if (!plans.has(destination)) add(volume(house, anonymousName(), destination, { anonymous: true }));
  }
  return [...plans.values()];
}

function planBind(house: Pick<EngineHouse, 'root'>, text: string): MountPlan {
  const parts = text.split(':');
  const [first = '', second, third = ''] = parts;
  if (parts.length > 3 || first === '' || second === '') throw invalid(`invalid volume specification: '${text}'`);
  if (second === undefined) return volume(house, anonymousName(), checkDestination(first), { anonymous: true });
  const destination = checkDestination(second);
  const words = third === '' ? [] : third.split(',');
  let propagation = '';
  for (const word of words) {
    if (propagations.has(word)) propagation = word;
    else if (!idle.has(word)) throw invalid(`invalid mode: ${third}`);
  }
  const readonly = words.includes('ro');
  if (!first.startsWith('/')) {
    if (!volumeName.test(first)) {
      throw invalid(
        `create ${first}: "${first}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. ` +
          'If you intended to pass a host directory, use absolute path',
      );
    }
    return volume(house, first, destination, {
      readonly,
      mode: third === '' ? 'z' : third,
      copyUp: !words.includes('nocopy'),
    });
  }
  return bind(path.posix.normalize(first), destination, { readonly, propagation, mode: third, createSource: true });
}

function planMount(house: Pick<EngineHouse, 'root'>, mount: Json): MountPlan {
  const type = textOf(mount, 'Type');
  const target = textOf(mount, 'Target');
  if (target === '') throw invalid(`invalid mount config for type "${type}": field Target must not be empty`);
  const destination = checkDestination(target);
  const source = textOf(mount, 'Source');
  const readonly = flagOf(mount, 'ReadOnly');
  if (type === 'bind') {
    const options = objectOf(mount, 'BindOptions');
    if (source === '') throw invalid('invalid mount config for type "bind": field Source must not be empty');
    if (!source.startsWith('/'))
      throw invalid(
        `invalid mount config for type "bind": invalid mount path: '${source}' mount path must be absolute`,
      );
    const propagation = textOf(options, 'Propagation');
    if (propagation !== '' && !propagations.has(propagation)) throw invalid(`invalid propagation mode: ${propagation}`);
    const createSource = flagOf(options, 'CreateMountpoint');
    return bind(path.posix.normalize(source), destination, {
      readonly,
      propagation,
      mode: '',
      createSource,
      flat: flagOf(options, 'NonRecursive'),
    });
  }
  if (type === 'volume') {
    const options = objectOf(mount, 'VolumeOptions');
    const driver = textOf(objectOf(options, 'DriverConfig'), 'Name');
    if (driver !== '' && driver !== 'local') throw unimplemented(`volume driver "${driver}"`);
    if (textOf(options, 'Subpath') !== '') throw unimplemented('a subpath of a volume');
    if (source !== '' && !volumeName.test(source)) throw invalid(`create ${source}: invalid volume name`);
    return volume(house, source === '' ? anonymousName() : source, destination, {
      readonly,
      mode: 'z',
      copyUp: !flagOf(options, 'NoCopy'),
      anonymous: source === '',
    });
  }
  if (type === 'tmpfs') {
    const options = objectOf(mount, 'TmpfsOptions');
    const size = numberOf(options, 'SizeBytes');
    const mode = numberOf(options, 'Mode');
    return tmpfs(destination, [
      ...(readonly ? ['ro'] : []),
      ...(size === 0 ? [] : [`size=${size}`]),
      ...(mode === 0 ? [] : [`mode=${mode.toString(8)}`]),
    ]);
  }
  throw invalid(`invalid mount config for type "${type}": mount type unknown`);
}

function checkDestination(place: string): string {
  if (!place.startsWith('/')) throw invalid(`invalid mount path: '${place}' mount path must be absolute`);
  const clean = path.posix.normalize(place).replace(/(.)\/+$/, '$1');
  if (clean === '/') throw invalid("invalid specification: destination can't be '/'");
  return clean;
}

const anonymousName = (): string => randomBytes(32).toString('hex');
export const volumePath = (house: Pick<EngineHouse, 'root'>, name: string): string =>
  path.join(house.root, 'volumes', name, '_data');

function volume(
  house: Pick<EngineHouse, 'root'>,
  name: string,
  destination: string,
  options: { readonly?: boolean; mode?: string; copyUp?: boolean; anonymous?: boolean },
): MountPlan {
  return {
    point: {
      Type: 'volume',
      Name: name,
      Source: volumePath(house, name),
      Destination: destination,
      Driver: 'local',
      Mode: options.mode ?? '',
      RW: options.readonly !== true,
      Propagation: '',
      ...(options.anonymous === true ? { Anonymous: true } : {}),
    },
    options: [],
    copyUp: options.copyUp ?? true,
    createSource: false,
  };
}

function bind(
  source: string,
  destination: string,
  options: { readonly: boolean; propagation: string; mode: string; createSource: boolean; flat?: boolean },
): MountPlan {
  return {
    point: {
      Type: 'bind',
      Source: source,
      Destination: destination,
      Mode: options.mode,
      RW: !options.readonly,
      Propagation: options.propagation === '' ? 'rprivate' : options.propagation,
    },
    options: options.flat === true ? ['bind'] : ['rbind'],
    copyUp: false,
    createSource: options.createSource,
  };
}

const tmpfs = (destination: string, options: readonly string[]): MountPlan => ({
  point: {
    Type: 'tmpfs',
    Source: '',
    Destination: destination,
    Mode: options.join(','),
    RW: !options.includes('ro'),
    Propagation: '',
  },
  options,
  copyUp: false,
  createSource: false,
});

/** Words the kernel's tmpfs or mount(2) know; anything else would only fail at start. */
const tmpfsWord =
  /^(?:rw|ro|exec|noexec|suid|nosuid|dev|nodev|sync|async|(?:no)?(?:atime|diratime|relatime|strictatime)|(?:size|nr_blocks|nr_inodes)=\d+[kmgKMG%]?|mode=[0-7]+|(?:uid|gid)=\d+|mpol=\S+)$/;

/** How the runtime mounts what was planned. */
export function ociMount(plan: MountPlan): OciMount {
  const { Type, Source, Destination, RW, Propagation } = plan.point;
  if (Type === 'tmpfs') {
    const unknown = plan.options.find((word) => !tmpfsWord.test(word));
    if (unknown !== undefined) throw invalid(`invalid tmpfs option ["${unknown}"]`);
    return {
      destination: Destination,
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['noexec', 'nosuid', 'nodev', 'rprivate', ...plan.options],
    };
  }
  const how = Type === 'volume' ? ['rbind'] : plan.options;
  const propagation = Propagation === '' ? 'rprivate' : Propagation;
  return {
    destination: Destination,
    type: 'bind',
    source: Source,
    options: [...how, propagation, ...(RW ? [] : ['ro'])],
  };
}

/**
 * Makes directories and volumes, and fills new volumes with what the image has there. A volume that was made and then
 * not needed stays: Docker does the same, and another container may hold it by now.
 */
export async function realizeMounts(
  house: EngineHouse,
  plans: readonly MountPlan[],
  rootfs: readonly Mount[],
  signal: AbortSignal,
): Promise<void> {
  for (const { point, copyUp, createSource } of plans) {
    if (point.Type === 'bind') await realizeBind(point.Source, createSource);
    if (point.Type !== 'volume') continue;
    using _lock = await house.locks.hold(`volume ${point.Name ?? ''}`, signal);
    const fresh = await makeVolume(point.Source);
    if (fresh && copyUp) await house.rootfs.copyUp(rootfs, point.Destination, point.Source, signal);
  }
}

async function realizeBind(source: string, create: boolean): Promise<void> {
  try {
    await stat(source);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ENOENT')
      throw new HakoError(
        'invalid-argument',
        `bind source "${source}": ${error instanceof Error ? error.message : String(error)}`,
        error,
      );
    if (!create)
      throw invalid(`invalid mount config for type "bind": bind source path does not exist: ${source}`, error);
    await mkdir(source, { recursive: true });
  }
}

/** True when the volume is empty: only then is it filled. */
async function makeVolume(data: string): Promise<boolean> {
  await mkdir(path.dirname(path.dirname(data)), { recursive: true, mode: 0o701 });
  await mkdir(path.dirname(data), { recursive: true, mode: 0o701 });
  await mkdir(data, { recursive: true, mode: 0o755 });
  return (await readdir(data)).length === 0;
}
