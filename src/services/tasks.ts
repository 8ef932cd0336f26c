import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { Any } from '#core/any.ts';
import type { Container } from '#core/containers.ts';
import type { Mount } from '#core/mounts.ts';
import type { Exit, ProcessState, Stdio } from '#core/runtime.ts';

/** A process as clients see it. `execId` '' is the first one. */
export interface TaskProcess extends ProcessState {
  readonly containerId: string;
  readonly execId: string;
}

/** How a container's last run ended or stands. It outlives the task, and the daemon. */
export interface RunState {
  readonly status: 'created' | 'running' | 'paused' | 'exited' | 'dead';
  readonly pid: number;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  readonly startedAt?: Date;
  readonly finishedAt?: Date;
}

/** A mount, spec change or resource that hangs on a task's life, whichever door starts it. */
export interface TaskHooks {
  /** Before the task is made; may change the spec (network namespace). Its undo runs when creation fails. */
  prepare(container: Container, spec: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /** After the first process has ended, however. Idempotent. */
  exited(container: Container, exit: Exit): Promise<void>;
  /** After the task is gone, and again at boot for what was lost. Idempotent. */
  released(container: { namespace: string; id: string }): Promise<void>;
}

export interface NewTask {
  readonly id: string;
  /** Empty: the service mounts the container's own snapshot. */
  readonly rootfs: readonly Mount[];
  readonly stdio: Stdio;
  /** Overrides the container's runtime options. */
  readonly options?: Any;
}

/** Running containers. One instance serves all three doors. */
export class Tasks {
  /** Called once by whoever owns what hangs on tasks. */
  addHooks(_hooks: TaskHooks): void {
    throw unimplemented('tasks.addHooks');
  }
  /** Creates the container's first process, stopped. Leaves nothing behind when it fails. */
  create(_call: Call, _task: NewTask): Promise<{ pid: number }> {
    throw unimplemented('tasks.create');
  }
  start(_call: Call, _id: string, _execId: string): Promise<{ pid: number }> {
    throw unimplemented('tasks.start');
  }
  /** Removes a process that has ended; `force` kills it first. */
  delete(_call: Call, _id: string, _execId: string, _options?: { force?: boolean }): Promise<Exit> {
    throw unimplemented('tasks.delete');
  }
  exec(_call: Call, _id: string, _execId: string, _spec: Uint8Array, _stdio: Stdio): Promise<void> {
    throw unimplemented('tasks.exec');
  }
  get(_call: Call, _id: string, _execId: string): Promise<TaskProcess> {
    throw unimplemented('tasks.get');
  }
  list(_call: Call): Promise<TaskProcess[]> {
    throw unimplemented('tasks.list');
  }
  kill(_call: Call, _id: string, _execId: string, _options: { signal: number; all: boolean }): Promise<void> {
    throw unimplemented('tasks.kill');
  }
  /** Resolves with the exit; at once when it has ended. */
  wait(_call: Call, _id: string, _execId: string): Promise<Exit> {
    throw unimplemented('tasks.wait');
  }
  resize(_call: Call, _id: string, _execId: string, _size: { width: number; height: number }): Promise<void> {
    throw unimplemented('tasks.resize');
  }
  closeStdin(_call: Call, _id: string, _execId: string): Promise<void> {
    throw unimplemented('tasks.closeStdin');
  }
  pids(_call: Call, _id: string): Promise<{ pid: number; execId?: string }[]> {
    throw unimplemented('tasks.pids');
  }
  pause(_call: Call, _id: string): Promise<void> {
    throw unimplemented('tasks.pause');
  }
  resume(_call: Call, _id: string): Promise<void> {
    throw unimplemented('tasks.resume');
  }
  stats(_call: Call, _id: string): Promise<Any> {
    throw unimplemented('tasks.stats');
  }
  update(_call: Call, _id: string, _resources: Any): Promise<void> {
    throw unimplemented('tasks.update');
  }
  /** The last run of a container, undefined when it never ran. From the ledger: no shim is asked. */
  runState(_call: Call, _id: string): RunState | undefined {
    throw unimplemented('tasks.runState');
  }
  /** Raw output files of the current run, from offset 0 (attach reads them), and the log over all runs. */
  output(_call: Call, _id: string): { stdout: string; stderr: string; log: string } {
    throw unimplemented('tasks.output');
  }
  /** Agrees with kernel, shim and disk after a start; ends what the ledger does not know. */
  reconcile(_signal: AbortSignal): Promise<void> {
    throw unimplemented('tasks.reconcile');
  }
}
