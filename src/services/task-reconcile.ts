import { codeOf, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { ProcessRef, ProcessState, Runtime } from '#core/runtime.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { ProcessRow } from '#metadata/tables/processes.ts';
import type { TaskExits } from './task-exits.ts';

export interface ReconcileParts {
  readonly ledger: Ledger;
  readonly runtime: Runtime;
  readonly exits: TaskExits;
  readonly logger: Logger;
  readonly released: (task: { namespace: string; id: string }) => Promise<void>;
  readonly started: (ref: ProcessRef, pid: number) => void;
}

/**
 * Makes the ledger agree with shims and kernel after a start. What lives is watched again; what ended meanwhile is
 * recorded with the exit its shim kept; what no shim knows is lost; what was half made is undone; what the ledger
 * does not know is ended.
 */
export async function reconcileTasks(parts: ReconcileParts, signal: AbortSignal): Promise<void> {
  const { ledger, runtime, logger } = parts;
  const known = await runtime.list(signal);
  const rows = ledger.processes.all();
  for (const row of rows.filter(({ execId }) => execId === '')) {
    if (row.status === 'creating') {
      logger.log('info', 'undoing a task that was half made', { namespace: row.namespace, id: row.id });
      await undo(parts, row, signal);
    } else {
      await agree(parts, row, signal);
    }
  }
  for (const row of rows.filter(({ execId }) => execId !== '')) {
    if (ledger.processes.find(row.namespace, row.id, '') === undefined || row.status === 'creating') {
      ledger.processes.delete(row.namespace, row.id, row.execId);
    } else {
      await agree(parts, row, signal);
    }
  }
  const ours = new Set(rows.map(({ namespace, id }) => `${namespace}/${id}`));
  for (const task of known) {
    if (ours.has(`${task.namespace}/${task.id}`)) continue;
    logger.log('warn', 'ending a task that the ledger does not know', { ...task });
    await undo(parts, task, signal);
  }
}

async function undo(
  parts: ReconcileParts,
  task: { namespace: string; id: string },
  signal: AbortSignal,
): Promise<void> {
  try {
    await parts.runtime.discard(task.namespace, task.id, signal);
  } catch (error) {
    signal.throwIfAborted();
    // The row stays, so that the next start tries again.
    const { namespace, id } = task;
    parts.logger.log('error', 'a task could not be undone', { namespace, id, error: messageOf(error) });
    return;
  }
  await parts.released(task);
  parts.ledger.processes.deleteTask(task.namespace, task.id);
}

async function agree(parts: ReconcileParts, row: ProcessRow, signal: AbortSignal): Promise<void> {
  if (row.status === 'stopped') return;
  let state: ProcessState | undefined;
  try {
    state = await parts.runtime.state(row, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (codeOf(error) === 'not-found') {
      const { namespace, id, execId } = row;
      parts.logger.log('warn', 'a process was lost while the daemon was away', { namespace, id, execId });
      await parts.exits.lose(row);
      return;
    }
    // The shim does not answer yet: the watch asks again until it does.
    parts.logger.log('warn', 'a shim does not answer', {
      namespace: row.namespace,
      id: row.id,
      error: messageOf(error),
    });
  }
  const running = state?.status === 'running' || state?.status === 'paused' || state?.status === 'pausing';
  // Killed between the start and its row.
  if (row.status === 'created' && state !== undefined && running) parts.started(row, state.pid);
  const unborn = row.execId !== '' && row.status === 'created' && (state === undefined || state.status === 'created');
  if (unborn) {
    parts.exits.expect(row);
    return;
  }
  parts.exits.watch(row);
  // What ended while we were away is recorded before anybody may ask.
  if (state?.status === 'stopped') await parts.exits.settled(row, signal);
}
