import { Sqlite } from './sqlite.ts';
import { BlobTable } from './tables/blobs.ts';
import { ContainerTable } from './tables/containers.ts';
import { ImageTable } from './tables/images.ts';
import { IngestTable } from './tables/ingests.ts';
import { LeaseTable } from './tables/leases.ts';
import { SandboxTable } from './tables/sandboxes.ts';
import { SnapshotTable } from './tables/snapshots.ts';

/** The tables of things that hold or are held. */
export interface ReaderTables {
  readonly containers: ContainerTable;
  readonly sandboxes: SandboxTable;
  readonly images: ImageTable;
  readonly blobs: BlobTable;
  readonly ingests: IngestTable;
  readonly snapshots: SnapshotTable;
  readonly leases: LeaseTable;
}

/** A second connection to a ledger that somebody else keeps, for another thread. It never writes, and nobody waits for it. */
export class LedgerReader {
  readonly #db: Sqlite;
  readonly #tables: ReaderTables;

  constructor(path: string) {
    this.#db = new Sqlite(path);
    this.#db.script('PRAGMA query_only = ON');
    this.#tables = {
      containers: new ContainerTable(this.#db),
      sandboxes: new SandboxTable(this.#db),
      images: new ImageTable(this.#db),
      blobs: new BlobTable(this.#db),
      ingests: new IngestTable(this.#db),
      snapshots: new SnapshotTable(this.#db),
      leases: new LeaseTable(this.#db),
    };
  }

  /** Reads one state of the ledger, however much `read` reads and whatever is committed meanwhile. */
  snapshot<T>(read: (tables: ReaderTables) => T): T {
    this.#db.script('BEGIN');
    try {
      return read(this.#tables);
    } finally {
      this.#db.script('COMMIT');
    }
  }
}
