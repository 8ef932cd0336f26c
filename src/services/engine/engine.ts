import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { RegistryOptions } from '#core/registry.ts';
import type { PullProgress } from '../pull.ts';
import type { PushProgress } from '../push.ts';

/**
 * What `POST /containers/create` carries, in the Engine API's own field names (API 1.51: `Config` at the top level,
 * `HostConfig`, `NetworkingConfig`). The door checks shape and limits; the engine gives meaning. Kept whole with the
 * container, so that inspect echoes it.
 */
export interface ContainerRequest {
  readonly [key: string]: unknown;
  readonly Image: string;
  readonly HostConfig?: { readonly [key: string]: unknown };
  readonly NetworkingConfig?: { readonly [key: string]: unknown };
}

/** Inspect and list answers, in the Engine API's own field names and shape. */
export type EngineObject = { readonly [key: string]: unknown };

/** A live connection to a container's streams. */
export interface Attachment extends AsyncDisposable {
  readonly tty: boolean;
  /** Output in order; ends when the process has ended and everything was given. */
  readonly output: AsyncIterable<{ readonly stream: 'stdout' | 'stderr'; readonly data: Uint8Array }>;
  /** Resolves when more is welcome. */
  write(data: Uint8Array): Promise<void>;
  /** The client closed its side of standard input. */
  end(): Promise<void>;
}

export interface LogOptions {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Lines from the end; undefined is all. */
  readonly tail?: number;
  readonly since?: Date;
  readonly until?: Date;
}

export interface LogRecord {
  readonly stream: 'stdout' | 'stderr';
  readonly time: string;
  readonly data: Uint8Array;
}

export interface ExecRequest {
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly workdir: string;
  readonly tty: boolean;
  readonly privileged: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys: string;
}

export type WaitCondition = 'not-running' | 'next-exit' | 'removed';

/** Docker's verbs over the house's own objects. `ref` is a name, an id or an unambiguous prefix of one. */
export class Engine {
  create(_call: Call, _name: string, _request: ContainerRequest): Promise<{ id: string; warnings: string[] }> {
    throw unimplemented('engine.create');
  }
  /** not-modified when it runs already. */
  start(_call: Call, _ref: string): Promise<void> {
    throw unimplemented('engine.start');
  }
  /** Sends the stop signal, then KILL after `seconds` (undefined: the container's own). not-modified when stopped. */
  stop(_call: Call, _ref: string, _options: { signal?: string; seconds?: number }): Promise<void> {
    throw unimplemented('engine.stop');
  }
  restart(_call: Call, _ref: string, _options: { signal?: string; seconds?: number }): Promise<void> {
    throw unimplemented('engine.restart');
  }
  /** conflict when it does not run. */
  kill(_call: Call, _ref: string, _signal: string): Promise<void> {
    throw unimplemented('engine.kill');
  }
  pause(_call: Call, _ref: string): Promise<void> {
    throw unimplemented('engine.pause');
  }
  unpause(_call: Call, _ref: string): Promise<void> {
    throw unimplemented('engine.unpause');
  }
  /** conflict when it runs and `force` is false. */
  remove(_call: Call, _ref: string, _options: { force: boolean; volumes: boolean }): Promise<void> {
    throw unimplemented('engine.remove');
  }
  rename(_call: Call, _ref: string, _name: string): Promise<void> {
    throw unimplemented('engine.rename');
  }
  /** Registers at once (the door flushes headers then); `exit` resolves when the condition is met. */
  wait(
    _call: Call,
    _ref: string,
    _condition: WaitCondition,
  ): Promise<{ exit: Promise<{ statusCode: number; error?: string }> }> {
    throw unimplemented('engine.wait');
  }
  inspect(_call: Call, _ref: string, _options: { size: boolean }): Promise<EngineObject> {
    throw unimplemented('engine.inspect');
  }
  /** `filters` as parsed from Docker's JSON: name to allowed values. */
  list(
    _call: Call,
    _options: { all: boolean; limit: number; size: boolean; filters: ReadonlyMap<string, readonly string[]> },
  ): Promise<EngineObject[]> {
    throw unimplemented('engine.list');
  }
  top(_call: Call, _ref: string, _psArgs: string): Promise<EngineObject> {
    throw unimplemented('engine.top');
  }
  logs(_call: Call, _ref: string, _options: LogOptions): Promise<{ tty: boolean; records: AsyncIterable<LogRecord> }> {
    throw unimplemented('engine.logs');
  }
  /** `logs` replays the current run first. Works before start too: output then comes from the first byte. */
  attach(
    _call: Call,
    _ref: string,
    _options: { stdin: boolean; stdout: boolean; stderr: boolean; logs: boolean; stream: boolean },
  ): Promise<Attachment> {
    throw unimplemented('engine.attach');
  }
  resize(_call: Call, _ref: string, _size: { width: number; height: number }): Promise<void> {
    throw unimplemented('engine.resize');
  }
  execCreate(_call: Call, _ref: string, _request: ExecRequest): Promise<{ id: string }> {
    throw unimplemented('engine.execCreate');
  }
  /** Starts it; undefined attachment when detached. */
  execStart(_call: Call, _id: string, _options: { detach: boolean; tty: boolean }): Promise<Attachment | undefined> {
    throw unimplemented('engine.execStart');
  }
  execResize(_call: Call, _id: string, _size: { width: number; height: number }): Promise<void> {
    throw unimplemented('engine.execResize');
  }
  execInspect(_call: Call, _id: string): Promise<EngineObject> {
    throw unimplemented('engine.execInspect');
  }
  images(
    _call: Call,
    _options: { all: boolean; filters: ReadonlyMap<string, readonly string[]> },
  ): Promise<EngineObject[]> {
    throw unimplemented('engine.images');
  }
  imageInspect(_call: Call, _ref: string): Promise<EngineObject> {
    throw unimplemented('engine.imageInspect');
  }
  imageHistory(_call: Call, _ref: string): Promise<EngineObject[]> {
    throw unimplemented('engine.imageHistory');
  }
  /** Docker's list of `{Untagged}` and `{Deleted}`. */
  imageRemove(_call: Call, _ref: string, _options: { force: boolean; prune: boolean }): Promise<EngineObject[]> {
    throw unimplemented('engine.imageRemove');
  }
  imageTag(_call: Call, _ref: string, _target: string): Promise<void> {
    throw unimplemented('engine.imageTag');
  }
  /** `reference` as a person writes it (`alpine`, `127.0.0.1:5000/x:y`). Loopback registries may be plain HTTP. */
  pull(
    _call: Call,
    _reference: string,
    _options: RegistryOptions & { platform?: string },
    _progress: (event: PullProgress) => void,
  ): Promise<{ reference: string; digest: string; upToDate: boolean }> {
    throw unimplemented('engine.pull');
  }
  push(
    _call: Call,
    _reference: string,
    _options: RegistryOptions,
    _progress: (event: PushProgress) => void,
  ): Promise<{ reference: string; digest: string; size: number }> {
    throw unimplemented('engine.push');
  }
  info(_call: Call): Promise<EngineObject> {
    throw unimplemented('engine.info');
  }
  version(): EngineObject {
    throw unimplemented('engine.version');
  }
  /** Docker-shaped events (`Type`, `Action`, `Actor`, `time`, `timeNano`) from now on. Ends with the call's signal. */
  events(_call: Call, _filters: ReadonlyMap<string, readonly string[]>): AsyncIterable<EngineObject> {
    throw unimplemented('engine.events');
  }
}
