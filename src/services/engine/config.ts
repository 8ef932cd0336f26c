import { availableParallelism } from 'node:os';
import { invalid, unimplemented } from '#base/errors.ts';
import type { ContainerRequest } from './types.ts';
import {
  findNumber,
  findTexts,
  flagOf,
  numberOf,
  objectOf,
  objectsOf,
  textMapOf,
  textOf,
  textsOf,
  type Json,
} from './fields.ts';

/** `Config` of the Engine API with every field there, merged with the image's. */
export interface ContainerConfig {
  readonly Hostname: string;
  readonly Domainname: string;
  readonly User: string;
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly ExposedPorts: Readonly<Record<string, Json>>;
  readonly Tty: boolean;
  readonly OpenStdin: boolean;
  readonly StdinOnce: boolean;
  readonly Env: readonly string[];
  readonly Cmd: readonly string[] | null;
  readonly Image: string;
  readonly Volumes: Readonly<Record<string, Json>> | null;
  readonly WorkingDir: string;
  readonly Entrypoint: readonly string[] | null;
  readonly Labels: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly StopTimeout?: number;
  readonly Healthcheck?: Json;
}

/** `config` of an OCI or Docker image: what a container made from it starts out with. */
export interface ImageDefaults {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, Json>> | null;
  readonly Env?: readonly string[] | null;
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, Json>> | null;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly StopSignal?: string;
  readonly Healthcheck?: Json | null;
}

/** Reads the top level of a create request; refuses what has the wrong type, by name. */
export function readConfig(request: ContainerRequest): ContainerConfig {
  const stopTimeout = findNumber(request, 'StopTimeout');
  const stopSignal = textOf(request, 'StopSignal');
  const health = objectOf(request, 'Healthcheck');
  return {
    Hostname: textOf(request, 'Hostname'),
    Domainname: textOf(request, 'Domainname'),
    User: textOf(request, 'User'),
    AttachStdin: flagOf(request, 'AttachStdin'),
    AttachStdout: flagOf(request, 'AttachStdout'),
    AttachStderr: flagOf(request, 'AttachStderr'),
    ExposedPorts: objectOf(request, 'ExposedPorts') as Record<string, Json>,
    Tty: flagOf(request, 'Tty'),
    OpenStdin: flagOf(request, 'OpenStdin'),
    StdinOnce: flagOf(request, 'StdinOnce'),
    Env: textsOf(request, 'Env'),
    Cmd: findTexts(request, 'Cmd', { lone: true }) ?? null,
    Image: textOf(request, 'Image'),
    Volumes:
      request['Volumes'] === null || request['Volumes'] === undefined
        ? null
        : (objectOf(request, 'Volumes') as Record<string, Json>),
    WorkingDir: textOf(request, 'WorkingDir'),
    Entrypoint: findTexts(request, 'Entrypoint', { lone: true }) ?? null,
    Labels: textMapOf(request, 'Labels'),
    ...(stopSignal === '' ? {} : { StopSignal: stopSignal }),
    ...(stopTimeout === undefined ? {} : { StopTimeout: stopTimeout }),
    ...(Object.keys(health).length === 0 ? {} : { Healthcheck: health }),
  };
}

/**
 * What the request leaves open comes from the image, as Docker has it: environment and labels key by key, exposed ports
 * and volumes together, the command only when neither command nor entry point is the request's own.
 */
export function mergeImage(config: ContainerConfig, image: ImageDefaults): ContainerConfig {
  const own = config.Entrypoint !== null && config.Entrypoint.length > 0;
  // `--entrypoint ""` comes as [""]: it takes the image's entry point away and leaves the command to the request.
  const reset = config.Entrypoint?.length === 1 && config.Entrypoint[0] === '';
  const stopSignal = config.StopSignal ?? image.StopSignal;
  const volumes = { ...(image.Volumes ?? {}), ...(config.Volumes ?? {}) };
  return {
    ...config,
    User: config.User === '' ? (image.User ?? '') : config.User,
    ExposedPorts: { ...(image.ExposedPorts ?? {}), ...config.ExposedPorts },
    Env: mergeEnv(image.Env ?? [], config.Env),
    Cmd: own || (config.Cmd !== null && config.Cmd.length > 0) ? config.Cmd : (image.Cmd ?? null),
    Entrypoint: reset ? null : own ? config.Entrypoint : (image.Entrypoint ?? null),
    Volumes: Object.keys(volumes).length === 0 ? null : volumes,
    WorkingDir: config.WorkingDir === '' ? (image.WorkingDir ?? '') : config.WorkingDir,
    Labels: { ...(image.Labels ?? {}), ...config.Labels },
    ...(stopSignal === undefined || stopSignal === '' ? {} : { StopSignal: stopSignal }),
    ...(config.Healthcheck === undefined && image.Healthcheck !== undefined && image.Healthcheck !== null
      ? { Healthcheck: image.Healthcheck }
      : {}),
  };
}

/** `over` replaces by name. A name without `=` there takes the variable away (`-e NAME` not set at the client). */
export function mergeEnv(base: readonly string[], over: readonly string[]): string[] {
  const merged = new Map<string, string>();
  for (const entry of base) merged.set(entry.split('=', 1)[0] ?? '', entry);
  for (const entry of over) {
    const [name = ''] = entry.split('=', 1);
    if (name === '') throw invalid(`invalid environment variable: ${entry}`);
    if (entry.includes('=')) merged.set(name, entry);
    else merged.delete(name);
  }
  return [...merged.values()];
}

/** The whole command line. invalid-argument in Docker's words when there is none. */
export function commandOf(config: Pick<ContainerConfig, 'Entrypoint' | 'Cmd'>): string[] {
  const args = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  if (args.length === 0 || (args.length === 1 && args[0] === '')) throw invalid('no command specified');
  return args;
}

/** Kinds of network a container may ask for. */
export type NetworkMode =
  | { readonly kind: 'host' | 'none' }
  | { readonly kind: 'container'; readonly ref: string }
  | { readonly kind: 'network'; readonly name: string };

export function networkModeOf(hostConfig: Json): NetworkMode {
  const mode = textOf(hostConfig, 'NetworkMode');
  if (mode === 'host' || mode === 'none') return { kind: mode };
  if (mode.startsWith('container:')) {
    const ref = mode.slice('container:'.length);
    if (ref === '') throw invalid('Invalid network mode: invalid container format container:<name|id>');
    return { kind: 'container', ref };
  }
  return { kind: 'network', name: mode === '' || mode === 'default' ? 'bridge' : mode };
}

function loggingWarnings(logging: Json): string[] {
  const warnings: string[] = [];
  const options = Object.keys(objectOf(logging, 'Config'));
  if (options.length > 0) warnings.push(`log options are kept, but not acted on yet: ${options.join(', ')}`);
  const driver = textOf(logging, 'Type');
  if (!['', 'json-file', 'none'].includes(driver)) {
    warnings.push(`log driver "${driver}" is not there; output is kept as json-file`);
  }
  return warnings;
}

function checkRestart(restart: Json, autoRemove: boolean): string[] {
  const policy = textOf(restart, 'Name');
  if (!['', 'no', 'always', 'unless-stopped', 'on-failure'].includes(policy)) {
    throw invalid(
      `invalid restart policy: unknown policy '${policy}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  }
  if (numberOf(restart, 'MaximumRetryCount') < 0) {
    throw invalid('invalid restart policy: maximum retry count cannot be negative');
  }
  if (autoRemove && policy !== '' && policy !== 'no') {
    throw invalid("can't create 'AutoRemove' container with restart policy");
  }
  if (policy === '' || policy === 'no') return [];
  return [`restart policy "${policy}" is kept, but containers are not restarted yet`];
}

/**
 * Checks a HostConfig and says what of it is kept but not acted on. `unimplemented` for what would change how the
 * container is walled off or what it runs: to pass over that in silence would be a lie.
 */
export function checkHostConfig(hostConfig: Json): string[] {
  const warnings: string[] = [];
  if (flagOf(hostConfig, 'Init')) throw unimplemented('an init process (--init)');
  const runtime = textOf(hostConfig, 'Runtime');
  if (!['', 'runc', 'crun', 'io.containerd.runc.v2', 'io.containerd.crun.v2'].includes(runtime)) {
    throw invalid(`unknown or invalid runtime name: ${runtime}`);
  }
  const userns = textOf(hostConfig, 'UsernsMode');
  if (userns !== '' && userns !== 'host') throw unimplemented(`user namespace mode "${userns}"`);
  if (textsOf(hostConfig, 'Links').length > 0) throw unimplemented('links between containers (--link)');
  if (objectsOf(hostConfig, 'DeviceRequests').length > 0) throw unimplemented('device requests (--gpus)');
  for (const kind of ['IpcMode', 'PidMode', 'UTSMode', 'CgroupnsMode']) {
    const mode = textOf(hostConfig, kind);
    if (mode.startsWith('container:') && kind !== 'PidMode' && kind !== 'IpcMode')
      throw invalid(`invalid ${kind}: ${mode}`);
  }
  warnings.push(...checkRestart(objectOf(hostConfig, 'RestartPolicy'), flagOf(hostConfig, 'AutoRemove')));
  const cpus = numberOf(hostConfig, 'NanoCpus');
  const most = availableParallelism();
  if (cpus < 0 || cpus > most * 1e9) {
    throw invalid(`range of CPUs is from 0.01 to ${most}.00, as there are only ${most} CPUs available`);
  }
  const isolation = textOf(hostConfig, 'Isolation');
  if (isolation !== '' && isolation !== 'default') {
    throw invalid(`invalid isolation (${isolation}): linux only supports 'default'`);
  }
  const volumes = textOf(hostConfig, 'VolumeDriver');
  if (volumes !== '' && volumes !== 'local') throw unimplemented(`volume driver "${volumes}"`);
  warnings.push(...loggingWarnings(objectOf(hostConfig, 'LogConfig')));
  if (numberOf(hostConfig, 'KernelMemory') !== 0) warnings.push('kernel memory limits are deprecated and ignored');
  return warnings;
}

/** What a container that shares another's network cannot have of its own. invalid-argument in Docker's words. */
export function checkSharedNetwork(hostConfig: Json, config: ContainerConfig): void {
  if (networkModeOf(hostConfig).kind !== 'container') return;
  const conflicts: readonly (readonly [boolean, string])[] = [
    [config.Hostname !== '', 'hostname and the network mode'],
    [textsOf(hostConfig, 'Dns').length > 0, 'dns and the network mode'],
    [textsOf(hostConfig, 'ExtraHosts').length > 0, 'custom host-to-IP mapping and the network mode'],
    [
      Object.keys(objectOf(hostConfig, 'PortBindings')).length > 0 || flagOf(hostConfig, 'PublishAllPorts'),
      'port publishing and the container type network mode',
    ],
    [Object.keys(config.ExposedPorts).length > 0, 'port exposing and the container type network mode'],
  ];
  for (const [conflicting, what] of conflicts) if (conflicting) throw invalid(`conflicting options: ${what}`);
}
