import { create, fromBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { statSync, watch } from 'node:fs';
import path from 'node:path';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { Any } from '#core/any.ts';
import type {
  CreateTask,
  Exit,
  ProcessRef,
  ProcessState,
  Runtime,
  RuntimeFeatures,
  Stdio,
  TaskStatus,
} from '#core/runtime.ts';
import { ProcessDetailsSchema } from '#proto/gen/containerd/runc/v1/options_pb.ts';
import { Task, type StateResponse } from '#proto/gen/containerd/task/v3/task_pb.ts';
import { Status } from '#proto/gen/containerd/types/task/task_pb.ts';
import type { TtrpcOptions, TtrpcService } from '#wire/ttrpc-client.ts';
import { momentOf } from '#wire/timestamp.ts';
import { Bundles } from './bundles.ts';
import { ociFeatures } from './oci-features.ts';
import { packedOptions, runtimeOptions } from './runtime-options.ts';
import { ShimConnection } from './shim-connection.ts';
import { ShimSandboxer } from './shim-sandboxer.ts';
import { Witness } from './witness.ts';

export interface ShimRuntimeOptions {
  /** The daemon's state directory, absolute. */
  readonly state: string;
  /** Program and first arguments of `hako-shim`. */
  readonly shimCommand: readonly [string, ...string[]];
  readonly logger: Logger;
  /** OCI runtime of containers that name none; `runc` when left out. */
  readonly defaultBinary?: string;
}

type Client = TtrpcService<typeof Task>;

const statuses: Readonly<Record<Status, TaskStatus>> = {
  [Status.UNKNOWN]: 'unknown',
  [Status.CREATED]: 'created',
  [Status.RUNNING]: 'running',
  [Status.STOPPED]: 'stopped',
  [Status.PAUSED]: 'paused',
  [Status.PAUSING]: 'pausing',
};

/** How long a force in `discard` may take to end a container, in milliseconds. */
const dying = 10_000;

/** Makes containers through our own shim, one for all of them, which is started when the first is asked for. */
export class ShimRuntime implements Runtime {
  readonly #options: ShimRuntimeOptions;
  readonly #bundles: Bundles;
  readonly #connection: ShimConnection;
  readonly #witness: Witness;
  /** What the same shim makes for groups of containers. */
  readonly sandboxer: ShimSandboxer;

  constructor(options: ShimRuntimeOptions) {
    this.#options = options;
    this.#bundles = new Bundles(options.state);
    this.#witness = new Witness(path.join(options.state, 'shim', 'exits'));
    this.#connection = new ShimConnection({ ...options, onNoKeeper: () => this.#witness.testify() });
    this.sandboxer = new ShimSandboxer({ ...options, connection: this.#connection, witness: this.#witness });
  }

  /** Starts keeper and shim, so that the first container need not wait for them. */
  async prewarm(signal: AbortSignal): Promise<void> {
    await this.#connection.get(signal);
  }

  /** Lets go of the shim, which goes on serving its containers. */
  close(): void {
    this.#connection.close();
    this.#witness.close();
  }

  #watch(ref: ProcessRef, pid: number): void {
    const { stdout, stderr } = this.spool(ref.namespace, ref.id);
    this.#witness.watch(keyOf(ref), pid, ref.execId === '' ? [`${stdout}.fifo`, `${stderr}.fifo`] : []);
  }

  async #call<T>(
    namespace: string,
    signal: AbortSignal,
    body: (client: Client, options: TtrpcOptions) => Promise<T>,
  ): Promise<T> {
    const connection = await this.#connection.get(signal);
    return await body(connection.service(Task), { signal, metadata: { 'containerd-namespace-ttrpc': namespace } });
  }

  /** Asks again when the shim dies while it is asked: for questions and changes that may be repeated. */
  async #repeat<T>(
    namespace: string,
    signal: AbortSignal,
    body: (client: Client, options: TtrpcOptions) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      const connection = await this.#connection.get(signal);
      try {
        return await body(connection.service(Task), { signal, metadata: { 'containerd-namespace-ttrpc': namespace } });
      } catch (error) {
        if (codeOf(error) !== 'unavailable' || !connection.isClosed || signal.aborted) throw error;
      }
    }
  }

  async create(request: CreateTask, signal: AbortSignal): Promise<{ pid: number }> {
    const { namespace, id, spec, rootfs, stdio, log } = request;
    const extras = log === undefined ? {} : { log: log.path };
    const options = packedOptions(runtimeOptions(request.runtime, this.#options));
    const bundle = await this.#bundles.create(namespace, id, spec, extras);
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.#bundles.remove(namespace, id));
    // From here on the shim may have begun: a caller who leaves must not leave half a container.
    const { pid } = await this.#call(namespace, signal, (client, call) => {
      const mounts = rootfs.map((mount) => ({ ...mount, target: mount.target ?? '', options: [...mount.options] }));
      const creating = client.create(
        { id, bundle, rootfs: mounts, ...stdio, options },
        { ...call, signal: AbortSignal.timeout(120_000) },
      );
      return creating.catch((error: unknown) => this.#notCreated(namespace, id, error));
    });
    undo.move();
    this.#watch({ namespace, id, execId: '' }, pid);
    if (signal.aborted) {
      await this.discard(namespace, id, AbortSignal.timeout(dying));
      signal.throwIfAborted();
    }
    return { pid };
  }

  /**
   * The shim undoes a failed creation itself; one that died in the middle is followed by one that does. Clients know the
   * error by how it begins.
   */
  async #notCreated(namespace: string, id: string, error: unknown): Promise<never> {
    if (codeOf(error) === 'unavailable' || codeOf(error) === 'deadline-exceeded') {
      await this.discard(namespace, id, AbortSignal.timeout(dying));
    }
    throw new HakoError(codeOf(error), `failed to create shim task: ${messageOf(error)}`, error);
  }

  async features(runtime: CreateTask['runtime'], signal: AbortSignal): Promise<RuntimeFeatures> {
    return ociFeatures(runtimeOptions(runtime, this.#options).binaryName, signal);
  }

  async exec(ref: ProcessRef, request: { spec: Uint8Array; stdio: Stdio }, signal: AbortSignal): Promise<void> {
    const spec = create(AnySchema, {
      typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/Process',
      value: request.spec,
    });
    await this.#call(ref.namespace, signal, (client, call) =>
      client.exec({ id: ref.id, execId: ref.execId, ...request.stdio, spec }, call),
    );
  }

  async start(ref: ProcessRef, signal: AbortSignal): Promise<{ pid: number }> {
    const started = await this.#start(ref, signal);
    this.#watch(ref, started.pid);
    return started;
  }

  async #start(ref: ProcessRef, signal: AbortSignal): Promise<{ pid: number }> {
    try {
      return await this.#call(ref.namespace, signal, (client, call) =>
        client.start({ id: ref.id, execId: ref.execId }, call),
      );
    } catch (error) {
      if (codeOf(error) !== 'unavailable') throw error;
      // The shim died over it. Its successor knows how far it came.
      const state = await this.state(ref, signal);
      if (state.status !== 'created') return { pid: state.pid };
      return await this.#call(ref.namespace, signal, (client, call) =>
        client.start({ id: ref.id, execId: ref.execId }, call),
      );
    }
  }

  async state(ref: ProcessRef, signal: AbortSignal): Promise<ProcessState> {
    const state = await this.#repeat(ref.namespace, signal, (client, call) =>
      client.state({ id: ref.id, execId: ref.execId }, call),
    );
    return stateOf(state);
  }

  async wait(ref: ProcessRef, signal: AbortSignal): Promise<Exit> {
    return await this.#repeat(ref.namespace, signal, async (client, call) => {
      const { pid } = await client.state({ id: ref.id, execId: ref.execId }, call);
      this.#watch(ref, pid);
      const { exitStatus, exitedAt } = await client.wait({ id: ref.id, execId: ref.execId }, call);
      return { pid, status: exitStatus, at: momentOf(exitedAt) };
    });
  }

  async kill(ref: ProcessRef, request: { signal: number; all: boolean }, signal: AbortSignal): Promise<void> {
    await this.#repeat(ref.namespace, signal, (client, call) =>
      client.kill({ id: ref.id, execId: ref.execId, ...request }, call),
    );
  }

  async remove(ref: ProcessRef, signal: AbortSignal): Promise<Exit> {
    const { pid, exitStatus, exitedAt } = await this.#repeat(ref.namespace, signal, (client, call) =>
      client.delete({ id: ref.id, execId: ref.execId }, call),
    );
    this.#witness.release(keyOf(ref));
    if (ref.execId === '') await this.#bundles.remove(ref.namespace, ref.id);
    return { pid, status: exitStatus, at: momentOf(exitedAt) };
  }

  async resize(ref: ProcessRef, size: { width: number; height: number }, signal: AbortSignal): Promise<void> {
    await this.#repeat(ref.namespace, signal, (client, call) =>
      client.resizePty({ id: ref.id, execId: ref.execId, ...size }, call),
    );
  }

  async closeStdin(ref: ProcessRef, signal: AbortSignal): Promise<void> {
    await this.#repeat(ref.namespace, signal, (client, call) =>
      client.closeIO({ id: ref.id, execId: ref.execId, stdin: true }, call),
    );
  }

  async pids(ref: ProcessRef, signal: AbortSignal): Promise<{ pid: number; execId?: string }[]> {
    const { processes } = await this.#repeat(ref.namespace, signal, (client, call) =>
      client.pids({ id: ref.id }, call),
    );
    return processes.map(({ pid, info }) => {
      const execId = info === undefined ? '' : fromBinary(ProcessDetailsSchema, info.value).execId;
      return { pid, ...(execId === '' ? {} : { execId }) };
    });
  }

  async pause(ref: ProcessRef, signal: AbortSignal): Promise<void> {
    await this.#call(ref.namespace, signal, (client, call) => client.pause({ id: ref.id }, call));
  }

  async resume(ref: ProcessRef, signal: AbortSignal): Promise<void> {
    await this.#call(ref.namespace, signal, (client, call) => client.resume({ id: ref.id }, call));
  }

  async stats(ref: ProcessRef, signal: AbortSignal): Promise<Any> {
    const { stats } = await this.#repeat(ref.namespace, signal, (client, call) => client.stats({ id: ref.id }, call));
    if (stats === undefined) throw new HakoError('unavailable', `task "${ref.id}": the shim gave no statistics`);
    return { typeUrl: stats.typeUrl, value: stats.value };
  }

  ooms({ namespace, id }: ProcessRef): number {
    return statSync(path.join(this.#bundles.path(namespace, id), 'oom'), { throwIfNoEntry: false })?.size ?? 0;
  }

  watchOoms({ namespace, id }: ProcessRef, heard: () => void): Disposable {
    const watcher = watch(this.#bundles.path(namespace, id), { persistent: false }, (_change, name) => {
      if (name === 'oom') heard();
    });
    watcher.on('error', () => watcher.close());
    return { [Symbol.dispose]: () => watcher.close() };
  }

  async checkpoint(ref: ProcessRef, path: string, options: Any | undefined, signal: AbortSignal): Promise<void> {
    const own = options === undefined ? {} : { options: create(AnySchema, options) };
    await this.#call(ref.namespace, signal, (client, call) => client.checkpoint({ id: ref.id, path, ...own }, call));
  }

  async update(ref: ProcessRef, resources: Any, signal: AbortSignal): Promise<void> {
    await this.#call(ref.namespace, signal, (client, call) =>
      client.update({ id: ref.id, resources: create(AnySchema, resources) }, call),
    );
  }

  async list(_signal: AbortSignal): Promise<{ namespace: string; id: string }[]> {
    // The shim knows no task without a bundle: the record that it goes by lies in it.
    return await this.#bundles.list();
  }

  async discard(namespace: string, id: string, signal: AbortSignal): Promise<void> {
    const ref = { namespace, id, execId: '' };
    const known = (await this.#bundles.list()).some((bundle) => bundle.namespace === namespace && bundle.id === id);
    if (!known) return;
    try {
      const { status } = await this.state(ref, signal);
      if (status !== 'stopped' && status !== 'created') {
        await this.kill(ref, { signal: 9, all: false }, signal).catch(unlessEnded);
        await this.wait(ref, signal);
      }
      await this.remove(ref, signal);
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
      // A bundle that no shim has taken up holds no process: the shim removes what was half made before it answers.
      await this.#bundles.remove(namespace, id);
    }
  }

  spool(namespace: string, id: string): { stdout: string; stderr: string } {
    const bundle = this.#bundles.path(namespace, id);
    return { stdout: path.join(bundle, 'stdout'), stderr: path.join(bundle, 'stderr') };
  }
}

/** Begins the keys of further processes for the first one. */
const keyOf = ({ namespace, id, execId }: ProcessRef): string =>
  `${namespace}/${id}${execId === '' ? '' : `/${execId}`}`;

/** A process that has ended already is what a kill was for. */
function unlessEnded(error: unknown): void {
  if (codeOf(error) !== 'not-found') throw error;
}

function stateOf(state: StateResponse): ProcessState {
  const { pid, stdin, stdout, stderr, terminal, bundle } = state;
  const status = statuses[state.status] ?? 'unknown';
  const exit = { pid, status: state.exitStatus, at: momentOf(state.exitedAt) };
  return { pid, status, bundle, stdio: { stdin, stdout, stderr, terminal }, ...(status === 'stopped' ? { exit } : {}) };
}
