import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Changes } from './changes.ts';
import { Durability } from './durability.ts';
import { migrate } from './migrations.ts';
import { Sqlite } from './sqlite.ts';
import { ActivationTable } from './tables/activations.ts';
import { BlobTable } from './tables/blobs.ts';
import { ContainerTable } from './tables/containers.ts';
import { ImageTable } from './tables/images.ts';
import { IngestTable } from './tables/ingests.ts';
import { JournalTable } from './tables/journal.ts';
import { LeaseTable } from './tables/leases.ts';
import { NameTable } from './tables/names.ts';
import { NamespaceTable } from './tables/namespaces.ts';
import { ProcessTable } from './tables/processes.ts';
import { RunTable } from './tables/runs.ts';
import { SandboxTable } from './tables/sandboxes.ts';
import { SettingTable } from './tables/settings.ts';
import { SnapshotTable } from './tables/snapshots.ts';

export interface LedgerOptions {
  /** The file, usually `ROOT/ledger.db`; `:memory:` keeps nothing. */
  readonly path: string;
  /** False promises nothing over a power cut (a kill -9 is survived all the same). Default true. */
  readonly durable?: boolean;
}

/** Everything the daemon remembers, in one SQLite file. */
export class Ledger {
  readonly path: string;
  readonly changes: Changes;
  readonly namespaces: NamespaceTable;
  readonly containers: ContainerTable;
  readonly sandboxes: SandboxTable;
  readonly images: ImageTable;
  readonly blobs: BlobTable;
  readonly ingests: IngestTable;
  readonly snapshots: SnapshotTable;
  readonly leases: LeaseTable;
  readonly journal: JournalTable;
  readonly processes: ProcessTable;
  readonly runs: RunTable;
  /** Docker's names. Names and container ids share one look-up space. */
  readonly names: NameTable;
  /** Mounts that are made for clients. */
  readonly activations: ActivationTable;
  /** Small values by key, for whoever needs to remember one thing. */
  readonly settings: SettingTable;
  readonly #db: Sqlite;
  readonly #durability: Durability | undefined;
  #synced = 0;

  /** Opens the file, made if need be, and brings its schema up to date. Refuses a newer one. */
  constructor(options: LedgerOptions) {
    const onDisk = options.path !== ':memory:';
    if (onDisk) mkdirSync(dirname(options.path), { recursive: true, mode: 0o711 });
    this.path = options.path;
    this.#db = new Sqlite(options.path);
    this.changes = this.#db.changes;
    try {
      this.#db.get('PRAGMA journal_mode = WAL');
      this.#db.script('PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON');
      migrate(this.#db, options.path);
      if (onDisk && options.durable !== false) {
        // The worker writes the log back, so that a commit never waits for the disk.
        this.#db.get('PRAGMA wal_autocheckpoint = 0');
        // A storm of writes leaves a long log, which would stay so for ever.
        this.#db.get(`PRAGMA journal_size_limit = ${RESERVED_LOG_BYTES}`);
        reserveLog(`${options.path}-wal`);
        syncDirectory(dirname(options.path));
        this.#durability = new Durability(options.path);
      }
    } catch (error) {
      this.#db.close();
      throw error;
    }
    this.namespaces = new NamespaceTable(this.#db);
    this.containers = new ContainerTable(this.#db);
    this.sandboxes = new SandboxTable(this.#db);
    this.images = new ImageTable(this.#db);
    this.blobs = new BlobTable(this.#db);
    this.ingests = new IngestTable(this.#db);
    this.snapshots = new SnapshotTable(this.#db);
    this.leases = new LeaseTable(this.#db);
    this.journal = new JournalTable(this.#db);
    this.processes = new ProcessTable(this.#db);
    this.runs = new RunTable(this.#db);
    this.names = new NameTable(this.#db);
    this.activations = new ActivationTable(this.#db);
    this.settings = new SettingTable(this.#db);
  }

  /** All of `body` or nothing of it. It must not wait: the type refuses a promise. */
  transaction<T>(body: () => T extends PromiseLike<unknown> ? never : T): T {
    return this.#db.transaction<T>(body);
  }

  /** True in the body of a transaction. */
  get inTransaction(): boolean {
    return this.#db.inTransaction;
  }

  /** Called when the transaction that is under way has been committed, never when it was not; at once when there is none. */
  afterCommit(callback: () => void): void {
    this.#db.afterCommit(callback);
  }

  /** How many things hold or are held, up to `limit`. */
  countRows(limit: number): number {
    const tables = ['blobs', 'snapshots', 'images', 'containers', 'sandboxes', 'leases', 'lease_resources', 'ingests'];
    const rows = tables.map((table) => `SELECT 1 FROM ${table}`).join(' UNION ALL ');
    return Number(this.#db.get(`SELECT count(*) AS rows FROM (${rows} LIMIT ?)`, limit)?.['rows']);
  }

  /** Resolves when every transaction committed before this call survives a power cut. */
  async durable(): Promise<void> {
    const writes = this.#db.writes;
    if (this.#durability === undefined || this.#synced >= writes) return;
    await this.#durability.sync(writes);
    this.#synced = Math.max(this.#synced, writes);
  }

  async close(): Promise<void> {
    // The worker goes first: the last connection to close writes the whole log back and deletes it.
    await this.#durability?.close();
    this.#db.close();
  }
}

/** More than the log grows to between two checkpoints, so that what has to be forgotten can be, however full the disk is. */
const RESERVED_LOG_BYTES = 8 * 1024 * 1024;

/**
 * Gives the write-ahead log its space in advance: cleaning up after a disk that is full begins with a row that goes. SQLite
 * reads a log up to the first frame with a wrong checksum, so zeros behind the last one mean nothing (fileformat2, 4.1).
 */
function reserveLog(path: string): void {
  const fd = openSync(path, 'r+');
  try {
    const size = fstatSync(fd).size;
    if (size < RESERVED_LOG_BYTES) writeSync(fd, Buffer.alloc(RESERVED_LOG_BYTES - size), 0, undefined, size);
  } catch (error) {
    // It is full already: that must not keep the daemon from starting, and from cleaning up.
    if (!(error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')))
      throw error;
  } finally {
    closeSync(fd);
  }
}

/** The names of the database and its log are in the directory, which is synced by nobody else. */
function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
