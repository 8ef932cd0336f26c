import { microsecondsOf } from '#base/moment.ts';
import { number, optionalDate, text } from '../columns.ts';
import type { Sqlite } from '../sqlite.ts';

/** How a container's last run ended or stands. It outlives the task. */
export interface RunRow {
  readonly status: 'created' | 'running' | 'paused' | 'exited' | 'dead';
  readonly pid: number;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  readonly startedAt?: Date;
  readonly finishedAt?: Date;
}

export class RunTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, id: string): RunRow | undefined {
    const row = this.#db.get('SELECT * FROM runs WHERE namespace = ? AND id = ?', namespace, id);
    if (row === undefined) return undefined;
    const startedAt = optionalDate(row, 'started_at');
    const finishedAt = optionalDate(row, 'finished_at');
    return {
      status: text(row, 'status') as RunRow['status'],
      pid: number(row, 'pid'),
      exitCode: number(row, 'exit_code'),
      error: text(row, 'error'),
      oomKilled: number(row, 'oom_killed') === 1,
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(finishedAt === undefined ? {} : { finishedAt }),
    };
  }

  /** Makes or replaces the row. */
  put(namespace: string, id: string, run: RunRow): void {
    this.#db.run(
      `INSERT INTO runs (namespace, id, status, pid, exit_code, error, oom_killed, started_at, finished_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET status = excluded.status, pid = excluded.pid, exit_code = excluded.exit_code,
         error = excluded.error, oom_killed = excluded.oom_killed, started_at = excluded.started_at,
         finished_at = excluded.finished_at`,
      namespace,
      id,
      run.status,
      run.pid,
      run.exitCode,
      run.error,
      run.oomKilled ? 1 : 0,
      run.startedAt === undefined ? null : microsecondsOf(run.startedAt),
      run.finishedAt === undefined ? null : microsecondsOf(run.finishedAt),
    );
  }

  delete(namespace: string, id: string): void {
    this.#db.run('DELETE FROM runs WHERE namespace = ? AND id = ?', namespace, id);
  }
}
