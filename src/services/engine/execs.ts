import { randomBytes } from 'node:crypto';
import { HakoError } from '#base/errors.ts';
import type { ExecRequest } from './types.ts';

/** A further process that a client asked for. It is a promise until it is started, and a memory after it ended. */
export interface Exec {
  readonly id: string;
  readonly namespace: string;
  readonly containerId: string;
  readonly request: ExecRequest;
  readonly createdAt: number;
  state: 'created' | 'starting' | 'running' | 'ended';
  pid: number;
  exitCode: number | undefined;
  endedAt: number | undefined;
}

/** How long the exit code of a process that ended can be asked for; Docker sweeps after five minutes too. */
const memory = 5 * 60_000;
/** How long one may wait to be started. */
const patience = 60 * 60_000;
const limit = 10_000;

/** What clients asked to have run in containers. Kept in memory: a client does not outlive its daemon's connection. */
export class Execs {
  readonly #execs = new Map<string, Exec>();

  create(namespace: string, containerId: string, request: ExecRequest): Exec {
    this.#sweep();
    if (this.#execs.size >= limit)
      throw new HakoError(
        'resource-exhausted',
        `more than ${limit} exec instances are kept: try again in some minutes`,
      );
    const id = randomBytes(32).toString('hex');
    const exec: Exec = {
      id,
      namespace,
      containerId,
      request,
      createdAt: Date.now(),
      state: 'created',
      pid: 0,
      exitCode: undefined,
      endedAt: undefined,
    };
    this.#execs.set(id, exec);
    return exec;
  }

  /** not-found in Docker's words. */
  get(namespace: string, id: string): Exec {
    const exec = this.#execs.get(id);
    if (exec === undefined || exec.namespace !== namespace)
      throw new HakoError('not-found', `No such exec instance: ${id}`);
    return exec;
  }

  of(namespace: string, containerId: string): Exec[] {
    return [...this.#execs.values()].filter((exec) => exec.namespace === namespace && exec.containerId === containerId);
  }

  /** Forgets all of a container, by `namespace/id`. */
  forget(key: string): void {
    for (const exec of this.#execs.values()) {
      if (`${exec.namespace}/${exec.containerId}` === key) this.#execs.delete(exec.id);
    }
  }

  #sweep(): void {
    const now = Date.now();
    for (const exec of this.#execs.values()) {
      const over = exec.endedAt !== undefined && now - exec.endedAt > memory;
      const unwanted = exec.state === 'created' && now - exec.createdAt > patience;
      if (over || unwanted) this.#execs.delete(exec.id);
    }
  }
}
