import { HakoError, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { Container } from '#core/containers.ts';
import type { Exit } from '#core/runtime.ts';
import type { HookedContainer, TaskHooks } from './tasks.ts';

/** Calls everybody who hangs something on tasks: in the order they came, and backwards where they give back. */
export class HookedTasks {
  readonly #hooks: TaskHooks[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(hooks: TaskHooks): void {
    this.#hooks.push(hooks);
  }

  /** Lets every hook have its way with the spec; what they took is given back when `undo` is disposed of. */
  async prepare(container: HookedContainer, undo: AsyncDisposableStack, signal: AbortSignal): Promise<Uint8Array> {
    if (container.spec === undefined) {
      throw new HakoError(
        'failed-precondition',
        `container ${JSON.stringify(container.id)} has no spec: set one first`,
      );
    }
    const { namespace, id } = container;
    let spec = container.spec.value;
    for (const hooks of this.#hooks) {
      undo.defer(() => this.#guard('released', container, () => hooks.released({ namespace, id })));
      spec = await hooks.prepare(container, spec, signal);
    }
    return spec;
  }

  async exited(namespace: string, container: Container, exit: Exit): Promise<void> {
    const hooked: HookedContainer = { ...container, namespace };
    for (const hooks of this.#hooks) await this.#guard('exited', hooked, () => hooks.exited(hooked, exit));
  }

  async released({ namespace, id }: { namespace: string; id: string }): Promise<void> {
    const task = { namespace, id };
    for (const hooks of this.#hooks.toReversed()) await this.#guard('released', task, () => hooks.released(task));
  }

  /** A hook that fails keeps neither the others nor the task's end from happening. */
  async #guard(hook: string, task: { namespace: string; id: string }, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const { namespace, id } = task;
      this.#logger.log('warn', `a task's "${hook}" hook failed`, { namespace, id, error: messageOf(error) });
    }
  }
}
