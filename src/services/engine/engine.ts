import type { Call } from '#base/call.ts';
import type { RegistryOptions } from '#core/registry.ts';
import type { PullProgress } from '../pull.ts';
import type { PushProgress } from '../push.ts';
import { attach } from './attach.ts';
import { create } from './create.ts';
import { events } from './events.ts';
import { execCreate, execInspect, execResize, execStart } from './exec.ts';
import { reconcile, taskHooks } from './hooks.ts';
import { buildHouse, type EngineHouse, type EngineParts } from './house.ts';
import { imageRemove } from './image-remove.ts';
import { imageHistory, imageInspect, images, imageTag } from './images.ts';
import { info, version } from './info.ts';
import { inspect } from './inspect.ts';
import { list } from './list.ts';
import { logs } from './logs.ts';
import { remove } from './remove.ts';
import { rename } from './rename.ts';
import { start } from './start.ts';
import { kill, pause, resize, restart, stop, unpause } from './stop.ts';
import { top } from './top.ts';
import { pull, push } from './transfers.ts';
import { wait } from './wait.ts';
import type {
  Attachment,
  ContainerRequest,
  EngineObject,
  ExecRequest,
  LogOptions,
  LogRecord,
  WaitCondition,
} from './types.ts';

/** Docker's verbs over the house's own objects. `ref` is a name, an id or an unambiguous prefix of one. */
export class Engine {
  readonly #house: EngineHouse;

  /** Hangs what Docker knows of containers on their tasks: whichever door starts one, it has its network and files. */
  constructor(parts: EngineParts) {
    this.#house = buildHouse(parts);
    parts.tasks.addHooks(taskHooks(this.#house));
  }

  /** Goes on with what a daemon that died was about to do. Call it at boot, after the tasks' own reconciling. */
  reconcile(signal: AbortSignal): Promise<void> {
    return reconcile(this.#house, signal);
  }

  /** Resolves when nothing is being tidied up any more. What is left undone is done at the next start. */
  close(): Promise<void> {
    return this.#house.background.stop();
  }

  create(call: Call, name: string, request: ContainerRequest): Promise<{ id: string; warnings: string[] }> {
    return create(this.#house, call, name, request);
  }
  /** not-modified when it runs already. */
  start(call: Call, ref: string): Promise<void> {
    return start(this.#house, call, ref);
  }
  /** Sends the stop signal, then KILL after `seconds` (undefined: the container's own). not-modified when stopped. */
  stop(call: Call, ref: string, options: { signal?: string; seconds?: number }): Promise<void> {
    return stop(this.#house, call, ref, options);
  }
  restart(call: Call, ref: string, options: { signal?: string; seconds?: number }): Promise<void> {
    return restart(this.#house, call, ref, options);
  }
  /** conflict when it does not run. */
  kill(call: Call, ref: string, signal: string): Promise<void> {
    return kill(this.#house, call, ref, signal);
  }
  pause(call: Call, ref: string): Promise<void> {
    return pause(this.#house, call, ref);
  }
  unpause(call: Call, ref: string): Promise<void> {
    return unpause(this.#house, call, ref);
  }
  /** conflict when it runs and `force` is false. */
  remove(call: Call, ref: string, options: { force: boolean; volumes: boolean }): Promise<void> {
    return remove(this.#house, call, ref, options);
  }
  rename(call: Call, ref: string, name: string): Promise<void> {
    return rename(this.#house, call, ref, name);
  }
  /** Registers at once (the door flushes headers then); `exit` resolves when the condition is met. */
  wait(
    call: Call,
    ref: string,
    condition: WaitCondition,
  ): Promise<{ exit: Promise<{ statusCode: number; error?: string }> }> {
    return wait(this.#house, call, ref, condition);
  }
  inspect(call: Call, ref: string, options: { size: boolean }): Promise<EngineObject> {
    return inspect(this.#house, call, ref, options);
  }
  /** `filters` as parsed from Docker's JSON: name to allowed values. */
  list(
    call: Call,
    options: { all: boolean; limit: number; size: boolean; filters: ReadonlyMap<string, readonly string[]> },
  ): Promise<EngineObject[]> {
    return list(this.#house, call, options);
  }
  top(call: Call, ref: string, psArgs: string): Promise<EngineObject> {
    return top(this.#house, call, ref, psArgs);
  }
  logs(call: Call, ref: string, options: LogOptions): Promise<{ tty: boolean; records: AsyncIterable<LogRecord> }> {
    return logs(this.#house, call, ref, options);
  }
  /** `logs` replays the current run first. Works before start too: output then comes from the first byte. */
  attach(
    call: Call,
    ref: string,
    options: { stdin: boolean; stdout: boolean; stderr: boolean; logs: boolean; stream: boolean },
  ): Promise<Attachment> {
    return attach(this.#house, call, ref, options);
  }
  resize(call: Call, ref: string, size: { width: number; height: number }): Promise<void> {
    return resize(this.#house, call, ref, size);
  }
  execCreate(call: Call, ref: string, request: ExecRequest): Promise<{ id: string }> {
    return execCreate(this.#house, call, ref, request);
  }
  /** Starts it; undefined attachment when detached. */
  execStart(call: Call, id: string, options: { detach: boolean; tty: boolean }): Promise<Attachment | undefined> {
    return execStart(this.#house, call, id, options);
  }
  execResize(call: Call, id: string, size: { width: number; height: number }): Promise<void> {
    return execResize(this.#house, call, id, size);
  }
  execInspect(call: Call, id: string): Promise<EngineObject> {
    return execInspect(this.#house, call, id);
  }
  images(
    call: Call,
    options: { all: boolean; filters: ReadonlyMap<string, readonly string[]> },
  ): Promise<EngineObject[]> {
    return images(this.#house, call, options);
  }
  imageInspect(call: Call, ref: string): Promise<EngineObject> {
    return imageInspect(this.#house, call, ref);
  }
  imageHistory(call: Call, ref: string): Promise<EngineObject[]> {
    return imageHistory(this.#house, call, ref);
  }
  /** Docker's list of `{Untagged}` and `{Deleted}`. */
  imageRemove(call: Call, ref: string, options: { force: boolean; prune: boolean }): Promise<EngineObject[]> {
    return imageRemove(this.#house, call, ref, options);
  }
  imageTag(call: Call, ref: string, target: string): Promise<void> {
    return imageTag(this.#house, call, ref, target);
  }
  /** `reference` as a person writes it (`alpine`, `127.0.0.1:5000/x:y`). Loopback registries may be plain HTTP. */
  pull(
    call: Call,
    reference: string,
    options: RegistryOptions & { platform?: string },
    progress: (event: PullProgress) => void,
  ): Promise<{ reference: string; digest: string; upToDate: boolean }> {
    return pull(this.#house, call, reference, options, progress);
  }
  push(
    call: Call,
    reference: string,
    options: RegistryOptions,
    progress: (event: PushProgress) => void,
  ): Promise<{ reference: string; digest: string; size: number }> {
    return push(this.#house, call, reference, options, progress);
  }
  info(call: Call): Promise<EngineObject> {
    return info(this.#house, call);
  }
  version(): EngineObject {
    return version(this.#house);
  }
  /** Docker-shaped events (`Type`, `Action`, `Actor`, `time`, `timeNano`) from now on. Ends with the call's signal. */
  events(call: Call, filters: ReadonlyMap<string, readonly string[]>): AsyncIterable<EngineObject> {
    return events(this.#house, call, filters);
  }
}
