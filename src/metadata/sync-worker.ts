import { closeSync, fdatasyncSync, openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { SyncAnswer, SyncRequest } from './durability.ts';
import { Sqlite } from './sqlite.ts';

/**
 * Runs in a thread of its own (see `durability.ts`). It may open and close the write-ahead log freely: SQLite's file
 * locks, which any close() in the process would drop, are on the database file and on `-shm`, never on `-wal`.
 */
const path = workerData as string;
let db: Sqlite | undefined;

function perform(request: SyncRequest): void {
  if (request.kind === 'checkpoint') {
    db ??= new Sqlite(path);
    // PASSIVE never waits for the daemon's connection: what it is using now is written back another time.
    db.get('PRAGMA wal_checkpoint(PASSIVE)');
    return;
  }
  const fd = openSync(`${path}-wal`, 'r');
  try {
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

parentPort?.on('message', (request: SyncRequest) => {
  let answer: SyncAnswer;
  try {
    perform(request);
    answer = { id: request.id };
  } catch (error) {
    answer = { id: request.id, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(answer);
});
