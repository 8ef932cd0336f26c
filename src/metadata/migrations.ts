import { HakoError } from '#base/errors.ts';
import type { Sqlite } from './sqlite.ts';

/**
 * Every step the schema ever took, oldest first. A step that was released is never edited: a change is a new step.
 * Dates are microseconds since 1970, milliseconds in the first steps; labels and other maps are JSON objects.
 */
const steps: readonly string[] = [
  `
  CREATE TABLE namespaces (name TEXT PRIMARY KEY, labels TEXT NOT NULL) WITHOUT ROWID;

  CREATE TABLE containers (
    namespace TEXT NOT NULL, id TEXT NOT NULL, image TEXT NOT NULL, labels TEXT NOT NULL,
    spec_type TEXT, spec BLOB, runtime TEXT NOT NULL, options_type TEXT, options BLOB,
    snapshotter TEXT NOT NULL, snapshot_key TEXT NOT NULL, sandbox TEXT NOT NULL, extensions TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, id));

  CREATE TABLE images (
    namespace TEXT NOT NULL, name TEXT NOT NULL, labels TEXT NOT NULL, target TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)) WITHOUT ROWID;

  CREATE TABLE blobs (
    namespace TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, labels TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, digest)) WITHOUT ROWID;
  CREATE INDEX blobs_by_digest ON blobs (digest);

  CREATE TABLE ingests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, ref TEXT NOT NULL,
    total INTEGER NOT NULL, expected TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER,
    UNIQUE (namespace, ref));

  CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, snapshotter TEXT NOT NULL, key TEXT NOT NULL,
    kind TEXT NOT NULL, parent INTEGER, confirmed INTEGER NOT NULL, labels TEXT NOT NULL,
    bytes INTEGER NOT NULL, inodes INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    UNIQUE (namespace, snapshotter, key));
  CREATE INDEX snapshots_by_parent ON snapshots (parent);

  CREATE TABLE leases (
    namespace TEXT NOT NULL, id TEXT NOT NULL, labels TEXT NOT NULL, created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, id)) WITHOUT ROWID;
  CREATE TABLE lease_resources (
    namespace TEXT NOT NULL, lease TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (namespace, lease, type, id)) WITHOUT ROWID;

  CREATE TABLE processes (
    namespace TEXT NOT NULL, id TEXT NOT NULL, exec_id TEXT NOT NULL, status TEXT NOT NULL, pid INTEGER NOT NULL,
    stdin TEXT NOT NULL, stdout TEXT NOT NULL, stderr TEXT NOT NULL, terminal INTEGER NOT NULL,
    exit_status INTEGER, exited_at INTEGER, created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, id, exec_id)) WITHOUT ROWID;

  CREATE TABLE runs (
    namespace TEXT NOT NULL, id TEXT NOT NULL, status TEXT NOT NULL, pid INTEGER NOT NULL, exit_code INTEGER NOT NULL,
    error TEXT NOT NULL, oom_killed INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER,
    PRIMARY KEY (namespace, id)) WITHOUT ROWID;

  CREATE TABLE names (
    namespace TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (namespace, name)) WITHOUT ROWID;
  CREATE INDEX names_by_id ON names (namespace, id);

  CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  `,
  // What a remote side calls a tree, and is to call it once it is committed; NULL where its name is the id.
  `
  ALTER TABLE snapshots ADD COLUMN tree TEXT;
  ALTER TABLE snapshots ADD COLUMN sealing TEXT;
  CREATE INDEX snapshots_by_tree ON snapshots (snapshotter, tree) WHERE tree IS NOT NULL;
  `,
  `
  CREATE TABLE journal (
    seq INTEGER PRIMARY KEY, kept_at INTEGER NOT NULL, upto INTEGER NOT NULL,
    at INTEGER NOT NULL, nanos INTEGER NOT NULL, namespace TEXT NOT NULL, topic TEXT NOT NULL,
    type TEXT NOT NULL, value BLOB NOT NULL);
  `,
  // Mounts that are made for clients under names.
  `
  CREATE TABLE activations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, name TEXT NOT NULL, lease TEXT NOT NULL,
    confirmed INTEGER NOT NULL, labels TEXT NOT NULL, active TEXT NOT NULL, system TEXT NOT NULL,
    UNIQUE (namespace, name));
  `,
  // Dates are microseconds since 1970 from here on (the journal has its own).
  `
  UPDATE containers SET created_at = created_at * 1000, updated_at = updated_at * 1000;
  UPDATE images SET created_at = created_at * 1000, updated_at = updated_at * 1000;
  UPDATE blobs SET created_at = created_at * 1000, updated_at = updated_at * 1000;
  UPDATE ingests SET created_at = created_at * 1000, expires_at = expires_at * 1000;
  UPDATE snapshots SET created_at = created_at * 1000, updated_at = updated_at * 1000;
  UPDATE leases SET created_at = created_at * 1000;
  UPDATE processes SET created_at = created_at * 1000, exited_at = exited_at * 1000;
  UPDATE runs SET started_at = started_at * 1000, finished_at = finished_at * 1000;
  `,
  `
  CREATE TABLE sandboxes (
    namespace TEXT NOT NULL, id TEXT NOT NULL, labels TEXT NOT NULL, runtime TEXT NOT NULL,
    options_type TEXT, options BLOB, spec_type TEXT, spec BLOB, sandboxer TEXT NOT NULL, extensions TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, id));
  `,
];

/** Brings the schema up to date. Refuses a ledger that a newer release has written. */
export function migrate(db: Sqlite, path: string): void {
  db.transaction(() => {
    db.script('CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL)');
    const done = Number(db.get('SELECT coalesce(max(version), 0) AS version FROM migrations')?.['version']);
    if (done > steps.length) {
      throw new HakoError(
        'failed-precondition',
        `ledger "${path}" has schema version ${done}, this release knows up to ${steps.length}: ` +
          `start a newer release, or another root directory`,
      );
    }
    for (const [index, step] of steps.entries()) {
      if (index < done) continue;
      db.script(step);
      db.run('INSERT INTO migrations (version, applied_at) VALUES (?, ?)', index + 1, Date.now());
    }
  });
}
