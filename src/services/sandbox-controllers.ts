import type { Call } from '#base/call.ts';
import { codeOf, HakoError, invalid, messageOf } from '#base/errors.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Platform } from '#core/images.ts';
import type {
  CreateSandbox,
  Sandboxer,
  SandboxExit,
  SandboxMetric,
  SandboxPlan,
  SandboxStatus,
  StartedSandbox,
} from '#core/sandboxes.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { Events } from './events.ts';
import type { Tasks } from './tasks.ts';

/** The sandboxer whose sandboxes are our own shim's, as are the containers in them. */
export const SHIM_SANDBOXER = 'shim';
const SIGKILL = 9;

export interface SandboxControllersParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly tasks: Pick<Tasks, 'kill'>;
  /** By the names that clients give. */
  readonly sandboxers: ReadonlyMap<string, Sandboxer>;
  readonly logger?: Logger;
}

/** Sandboxes that run. Each call is for one of several sandboxers. */
export class SandboxControllers {
  readonly #parts: SandboxControllersParts;
  readonly #logger: Logger;

  constructor(parts: SandboxControllersParts) {
    this.#parts = parts;
    this.#logger = parts.logger ?? silent;
  }

  /** The sandboxer of that name. containerd has no default for it. */
  named(name: string): SandboxController {
    if (name === '') {
      throw invalid('invalid argument: sandbox controller name can not be empty');
    }
    const sandboxer = this.#parts.sandboxers.get(name);
    if (sandboxer !== undefined) return new SandboxController(this.#parts, name, sandboxer);
    throw new HakoError('not-found', `not found: failed to get sandbox controller by ${name}`);
  }

  /** Agrees with what is on disk after a start. */
  async reconcile(signal: AbortSignal): Promise<void> {
    const { ledger, sandboxers } = this.#parts;
    for (const [name, sandboxer] of sandboxers) {
      try {
        await sandboxer.reconcile?.(({ namespace, id }) => ledger.sandboxes.find(namespace, id) !== undefined, signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#logger.log('error', 'a sandboxer does not agree with the ledger', { name, error: messageOf(error) });
      }
    }
  }
}

/** One sandboxer, with all that happens besides. */
export class SandboxController {
  readonly #parts: SandboxControllersParts;
  readonly #name: string;
  readonly #sandboxer: Sandboxer;

  constructor(parts: SandboxControllersParts, name: string, sandboxer: Sandboxer) {
    this.#parts = parts;
    this.#name = name;
    this.#sandboxer = sandboxer;
  }

  /** `told` is the id that the event tells, which need not be the sandbox's own. */
  async create(call: Call, told: string, request: Omit<CreateSandbox, 'namespace'>): Promise<void> {
    const { namespace, signal } = call;
    const { id } = request.sandbox;
    if (this.#name === SHIM_SANDBOXER && this.#parts.ledger.processes.find(namespace, id, '') !== undefined) {
      throw new HakoError('already-exists', `sandbox ${id} already running: already exists: a task has that id`);
    }
    await this.#sandboxer.create({ ...request, namespace }, signal);
    this.#publish(call, '/sandboxes/create', 'SandboxCreate', { sandboxId: told });
  }

  async start(call: Call, id: string): Promise<StartedSandbox> {
    const started = await this.#sandboxer.start({ namespace: call.namespace, id }, call.signal);
    this.#publish(call, '/sandboxes/start', 'SandboxStart', { sandboxId: id });
    return started;
  }

  platform(call: Call, id: string): Promise<Platform> {
    return this.#sandboxer.platform({ namespace: call.namespace, id }, call.signal);
  }

  /** The containers in it end with it. */
  async stop(call: Call, id: string, seconds: number): Promise<void> {
    await this.#sandboxer.stop({ namespace: call.namespace, id }, seconds, call.signal);
    await this.#endTasks(call, id);
  }

  /** Whoever has waited tells everyone, as in containerd. */
  async wait(call: Call, id: string): Promise<SandboxExit> {
    const exit = await this.#sandboxer.wait({ namespace: call.namespace, id }, call.signal);
    const fields = { sandboxId: id, exitStatus: exit.status, exitedAt: exit.at };
    this.#publish(call, '/sandboxes/exit', 'SandboxExit', fields);
    return exit;
  }

  status(call: Call, id: string, verbose: boolean): Promise<SandboxStatus> {
    return this.#sandboxer.status({ namespace: call.namespace, id }, verbose, call.signal);
  }

  async shutdown(call: Call, id: string): Promise<void> {
    await this.#sandboxer.shutdown({ namespace: call.namespace, id }, call.signal);
    await this.#endTasks(call, id);
  }

  metrics(call: Call, id: string): Promise<SandboxMetric | undefined> {
    return this.#sandboxer.metrics({ namespace: call.namespace, id }, call.signal);
  }

  /** containerd's words, and no code, for a request without a sandbox. */
  async update(call: Call, id: string, sandbox: SandboxPlan | undefined, fields: readonly string[]): Promise<void> {
    if (sandbox === undefined) throw new HakoError('unknown', 'sandbox can not be nil');
    await this.#sandboxer.update({ namespace: call.namespace, id }, sandbox, fields, call.signal);
  }

  /** Of the shim's sandboxes: those of others end their containers themselves. */
  async #endTasks(call: Call, sandbox: string): Promise<void> {
    if (this.#name !== SHIM_SANDBOXER) return;
    const { ledger, tasks } = this.#parts;
    for (const { id, status } of ledger.processes.tasks(call.namespace)) {
      if (status === 'creating' || status === 'stopped') continue;
      if (ledger.containers.find(call.namespace, id)?.sandbox !== sandbox) continue;
      try {
        await tasks.kill(call, id, '', { signal: SIGKILL, all: true });
      } catch (error) {
        if (codeOf(error) !== 'not-found') throw error;
      }
    }
  }

  #publish({ namespace }: Call, topic: string, type: string, fields: Readonly<Record<string, unknown>>): void {
    this.#parts.events.publish(namespace, topic, { kind: 'plain', type, fields }, { sync: false });
  }
}
