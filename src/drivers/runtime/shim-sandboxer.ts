import { existsSync } from 'node:fs';
import path from 'node:path';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { checkIdentifier } from '#base/identifiers.ts';
import type { Logger } from '#base/log.ts';
import { now } from '#base/moment.ts';
import type { Platform } from '#core/images.ts';
import type {
  CreateSandbox,
  Sandboxer,
  SandboxExit,
  SandboxMetric,
  SandboxPlan,
  SandboxRef,
  SandboxStatus,
  StartedSandbox,
} from '#core/sandboxes.ts';
import { Sandbox } from '#proto/gen/containerd/runtime/sandbox/v1/sandbox_pb.ts';
import type { TtrpcOptions, TtrpcService } from '#wire/ttrpc-client.ts';
import { momentOf } from '#wire/timestamp.ts';
import { Bundles } from './bundles.ts';
import { packedOptions, runtimeOptions } from './runtime-options.ts';
import type { ShimConnection } from './shim-connection.ts';
import type { Witness } from './witness.ts';

export interface ShimSandboxerParts {
  readonly state: string;
  readonly connection: ShimConnection;
  readonly witness: Witness;
  readonly logger: Logger;
  readonly defaultBinary?: string;
}

type Client = TtrpcService<typeof Sandbox>;

/** The shim serves this version of the task API. */
const TASK_API = 3;
/** How long the shim may take to make a sandbox, and to remove one, in milliseconds. */
const MAKING_MS = 120_000;
const REMOVING_MS = 10_000;

/** Sandboxes of our own shim, which serves the containers in them too. */
export class ShimSandboxer implements Sandboxer {
  readonly #parts: ShimSandboxerParts;
  readonly #bundles: Bundles;
  /** Where the shim is asked, in containerd's form. */
  readonly address: string;

  constructor(parts: ShimSandboxerParts) {
    this.#parts = parts;
    this.#bundles = new Bundles(parts.state, 'sandbox');
    this.address = `ttrpc+unix://${path.join(parts.state, 'shim', 'shim.sock')}`;
  }

  async create({ namespace, sandbox, rootfs, netns, annotations }: CreateSandbox, signal: AbortSignal): Promise<void> {
    const { id } = sandbox;
    checkIdentifier(id, `invalid task id ${id}`);
    const spec = sandbox.spec?.value;
    const runtime = sandbox.runtime ?? { name: 'io.containerd.runc.v2' };
    this.#checkRuntime(id, runtime.name);
    const options = packedOptions(runtimeOptions(runtime, this.#parts));
    const bundle = await this.#make(namespace, id, spec);
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.#bundles.remove(namespace, id));
    const mounts = rootfs.map((mount) => ({ ...mount, target: mount.target ?? '', options: [...mount.options] }));
    const request = { sandboxId: id, bundlePath: bundle, rootfs: mounts, options, netnsPath: netns, annotations };
    try {
      // From here on the shim may have begun: a caller who leaves must not leave half a sandbox.
      await this.#call(namespace, AbortSignal.timeout(MAKING_MS), (client, call) =>
        client.createSandbox({ ...request, annotations: { ...annotations } }, call),
      );
    } catch (error) {
      if (['unavailable', 'deadline-exceeded'].includes(codeOf(error))) await this.#discard({ namespace, id });
      throw new HakoError(codeOf(error), `failed to create sandbox ${id}: ${messageOf(error)}`, error);
    }
    if (signal.aborted) {
      await this.#discard({ namespace, id });
      signal.throwIfAborted();
    }
    undo.move();
  }

  async #make(namespace: string, id: string, spec: Uint8Array | undefined): Promise<string> {
    try {
      return await this.#bundles.create(namespace, id, spec?.length === 0 ? undefined : spec, {});
    } catch (error) {
      if (codeOf(error) !== 'already-exists') throw error;
      throw new HakoError('already-exists', `sandbox ${id} already running: already exists`, error);
    }
  }

  /** A sandbox may be no process, so that nobody would miss its runtime before the first container came. */
  #checkRuntime(id: string, name: string): void {
    const refuse = (why: string): never => {
      throw new HakoError(
        'unknown',
        `failed to start new shim for sandbox ${id}: failed to resolve runtime path: ${why}`,
      );
    };
    const word = /^io\.containerd\.([^./]+)\.v\d+$/.exec(name)?.[1];
    if (word === undefined && !path.isAbsolute(name)) {
      refuse(`invalid runtime name ${name}: give one like "io.containerd.runc.v2", or a full path`);
    }
    const binary = word === 'runc' || word === undefined ? (this.#parts.defaultBinary ?? 'runc') : word;
    if (!isThere(word === undefined ? name : binary)) refuse(`runtime "${name}" binary not installed "${binary}"`);
  }

  async start(ref: SandboxRef, signal: AbortSignal): Promise<StartedSandbox> {
    try {
      const { pid, createdAt, spec } = await this.#started(ref, signal);
      this.#watch(ref, pid);
      return {
        pid,
        createdAt: momentOf(createdAt),
        labels: {},
        address: this.address,
        version: TASK_API,
        ...(spec === undefined ? {} : { spec }),
      };
    } catch (error) {
      // In containerd's words and with its code, which is no code.
      if (codeOf(error) === 'not-found') throw new HakoError('unknown', `unable to find sandbox "${ref.id}"`, error);
      throw error;
    }
  }

  async #started(ref: SandboxRef, signal: AbortSignal): ReturnType<Client['startSandbox']> {
    const ask = () =>
      this.#call(ref.namespace, signal, (client, call) => client.startSandbox({ sandboxId: ref.id }, call));
    try {
      return await ask();
    } catch (error) {
      if (codeOf(error) !== 'unavailable') throw error;
      // The shim died over it. Its successor knows how far it came.
      const { state, pid, createdAt } = await this.#state(ref, false, signal);
      if (state !== 'SANDBOX_READY') return await ask();
      return { $typeName: 'containerd.runtime.sandbox.v1.StartSandboxResponse', pid, ...(createdAt && { createdAt }) };
    }
  }

  async platform(ref: SandboxRef, signal: AbortSignal): Promise<Platform> {
    const { platform } = await this.#repeat(ref, signal, (client, call) =>
      client.platform({ sandboxId: ref.id }, call),
    );
    const { os = '', architecture = '', variant = '' } = platform ?? {};
    return { os, architecture, ...(variant === '' ? {} : { variant }) };
  }

  async stop(ref: SandboxRef, seconds: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#repeat(ref, signal, (client, call) =>
        client.stopSandbox({ sandboxId: ref.id, timeoutSecs: seconds }, call),
      );
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
    }
  }

  async wait(ref: SandboxRef, signal: AbortSignal): Promise<SandboxExit> {
    return await this.#repeat(ref, signal, async (client, call) => {
      const { pid } = await client.sandboxStatus({ sandboxId: ref.id }, call);
      this.#watch(ref, pid);
      const { exitStatus, exitedAt } = await client.waitSandbox({ sandboxId: ref.id }, call);
      return { status: exitStatus, at: momentOf(exitedAt) };
    });
  }

  /** Of one that is not there it says so by an empty state, as containerd does. */
  async status(ref: SandboxRef, verbose: boolean, signal: AbortSignal): Promise<SandboxStatus> {
    try {
      const { pid, state, info, createdAt, exitedAt, extra } = await this.#state(ref, verbose, signal);
      const dates = { createdAt: momentOf(createdAt), exitedAt: momentOf(exitedAt) };
      const where = { address: this.address, version: TASK_API };
      return { pid, state, info, ...dates, ...(extra === undefined ? {} : { extra }), ...where };
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
      return { pid: 0, state: '', info: {}, exitedAt: now(), address: '', version: 0 };
    }
  }

  #state(ref: SandboxRef, verbose: boolean, signal: AbortSignal): ReturnType<Client['sandboxStatus']> {
    return this.#repeat(ref, signal, (client, call) => client.sandboxStatus({ sandboxId: ref.id, verbose }, call));
  }

  async shutdown(ref: SandboxRef, signal: AbortSignal): Promise<void> {
    await this.#repeat(ref, signal, (client, call) => client.shutdownSandbox({ sandboxId: ref.id }, call));
    this.#parts.witness.release(keyOf(ref));
    await this.#bundles.remove(ref.namespace, ref.id);
  }

  async metrics(ref: SandboxRef, signal: AbortSignal): Promise<SandboxMetric | undefined> {
    const { metrics } = await this.#repeat(ref, signal, (client, call) =>
      client.sandboxMetrics({ sandboxId: ref.id }, call),
    );
    if (metrics === undefined) return undefined;
    const { id, timestamp, data } = metrics;
    return { id, at: momentOf(timestamp), ...(data === undefined ? {} : { data }) };
  }

  /** Whatever may be changed of a sandbox concerns clients alone. */
  async update(_ref: SandboxRef, _sandbox: SandboxPlan, _fields: readonly string[]): Promise<void> {}

  async reconcile(known: (ref: SandboxRef) => boolean, signal: AbortSignal): Promise<void> {
    for (const ref of await this.#bundles.list()) {
      const { state, pid } = await this.status(ref, false, signal);
      // One that is a process and that nobody has written down is kept, as containerd keeps it.
      if (state !== '' && (pid !== 0 || known(ref))) {
        this.#watch(ref, pid);
        continue;
      }
      this.#parts.logger.log('warn', 'removing a sandbox that nobody knows', { ...ref });
      await this.#discard(ref);
    }
  }

  async #discard(ref: SandboxRef): Promise<void> {
    try {
      await this.shutdown(ref, AbortSignal.timeout(REMOVING_MS));
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
      await this.#bundles.remove(ref.namespace, ref.id);
    }
  }

  #watch(ref: SandboxRef, pid: number): void {
    this.#parts.witness.watch(keyOf(ref), pid, []);
  }

  async #call<T>(
    namespace: string,
    signal: AbortSignal,
    body: (client: Client, options: TtrpcOptions) => Promise<T>,
  ): Promise<T> {
    const connection = await this.#parts.connection.get(signal);
    return await body(connection.service(Sandbox), { signal, metadata: { 'containerd-namespace-ttrpc': namespace } });
  }

  /** Asks again when the shim dies while it is asked. One that has no bundle is asked for in vain. */
  async #repeat<T>(
    { namespace, id }: SandboxRef,
    signal: AbortSignal,
    body: (client: Client, options: TtrpcOptions) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      const connection = await this.#parts.connection.get(signal);
      try {
        return await body(connection.service(Sandbox), {
          signal,
          metadata: { 'containerd-namespace-ttrpc': namespace },
        });
      } catch (error) {
        if (codeOf(error) !== 'unavailable' || !connection.isClosed || signal.aborted) throw error;
        this.#parts.logger.log('debug', 'the shim was lost over a sandbox', { namespace, id });
      }
    }
  }
}

/** Names the process of a sandbox among those of tasks. */
const keyOf = ({ namespace, id }: SandboxRef): string => `sandboxes/${namespace}/${id}`;

/** Whether a program is there, by its path or its name. */
const isThere = (program: string): boolean =>
  path.isAbsolute(program)
    ? existsSync(program)
    : (process.env['PATH'] ?? '').split(':').some((directory) => existsSync(path.join(directory, program)));
