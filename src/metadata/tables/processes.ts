import { microsecondsOf, now } from '#base/moment.ts';
import type { Exit, Stdio } from '#core/runtime.ts';
import { date, number, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';

export type ProcessStatus = 'creating' | 'created' | 'running' | 'stopped';

/** A task (`execId` '') or one of its further processes. The row comes before the process and outlives the daemon. */
export interface ProcessRow {
  readonly namespace: string;
  readonly id: string;
  readonly execId: string;
  readonly status: ProcessStatus;
  readonly pid: number;
  readonly stdio: Stdio;
  readonly exit?: Exit;
  readonly createdAt: Date;
}

export class ProcessTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, id: string, execId: string): ProcessRow | undefined {
    const row = this.#db.get(
      'SELECT * FROM processes WHERE namespace = ? AND id = ? AND exec_id = ?',
      namespace,
      id,
      execId,
    );
    return row === undefined ? undefined : toProcess(row);
  }

  /** First processes of a namespace. */
  tasks(namespace: string): ProcessRow[] {
    return this.#db
      .all("SELECT * FROM processes WHERE namespace = ? AND exec_id = '' ORDER BY id", namespace)
      .map(toProcess);
  }

  /** Further processes of a task. */
  execs(namespace: string, id: string): ProcessRow[] {
    return this.#db
      .all("SELECT * FROM processes WHERE namespace = ? AND id = ? AND exec_id <> '' ORDER BY exec_id", namespace, id)
      .map(toProcess);
  }

  /** Everything in every namespace; a task comes before its further processes. */
  all(): ProcessRow[] {
    return this.#db.all('SELECT * FROM processes ORDER BY namespace, id, exec_id').map(toProcess);
  }

  insert(row: { namespace: string; id: string; execId: string; stdio: Stdio }): void {
    const { stdin, stdout, stderr, terminal } = row.stdio;
    this.#db.run(
      `INSERT INTO processes (namespace, id, exec_id, status, pid, stdin, stdout, stderr, terminal, created_at)
       VALUES (?, ?, ?, 'creating', 0, ?, ?, ?, ?, ?)`,
      row.namespace,
      row.id,
      row.execId,
      stdin,
      stdout,
      stderr,
      terminal ? 1 : 0,
      microsecondsOf(now()),
    );
  }

  setStatus(namespace: string, id: string, execId: string, status: 'created' | 'running', pid: number): void {
    this.#db.run(
      'UPDATE processes SET status = ?, pid = ? WHERE namespace = ? AND id = ? AND exec_id = ? AND exited_at IS NULL',
      status,
      pid,
      namespace,
      id,
      execId,
    );
  }

  /** Records how it ended. False when that was known already: the first record stands. */
  stop(namespace: string, id: string, execId: string, exit: Exit): boolean {
    const changed = this.#db.run(
      `UPDATE processes SET status = 'stopped', pid = ?, exit_status = ?, exited_at = ?
       WHERE namespace = ? AND id = ? AND exec_id = ? AND exited_at IS NULL`,
      exit.pid,
      exit.status,
      microsecondsOf(exit.at),
      namespace,
      id,
      execId,
    );
    return changed > 0;
  }

  delete(namespace: string, id: string, execId: string): void {
    this.#db.run('DELETE FROM processes WHERE namespace = ? AND id = ? AND exec_id = ?', namespace, id, execId);
  }

  /** Forgets a task and its further processes. */
  deleteTask(namespace: string, id: string): void {
    this.#db.run('DELETE FROM processes WHERE namespace = ? AND id = ?', namespace, id);
  }
}

function toProcess(row: Row): ProcessRow {
  const pid = number(row, 'pid');
  const exited = row['exited_at'] !== null;
  return {
    namespace: text(row, 'namespace'),
    id: text(row, 'id'),
    execId: text(row, 'exec_id'),
    status: text(row, 'status') as ProcessStatus,
    pid,
    stdio: {
      stdin: text(row, 'stdin'),
      stdout: text(row, 'stdout'),
      stderr: text(row, 'stderr'),
      terminal: number(row, 'terminal') === 1,
    },
    ...(exited ? { exit: { pid, status: number(row, 'exit_status'), at: date(row, 'exited_at') } } : {}),
    createdAt: date(row, 'created_at'),
  };
}
