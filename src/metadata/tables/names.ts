import { HakoError, notFound } from '#base/errors.ts';
import { text } from '../columns.ts';
import type { Sqlite } from '../sqlite.ts';

/**
 * Names that people give to containers, unique in a namespace. Names and ids share one look-up space: a name may not
 * be the id of another container. A name may be reserved before its container exists.
 */
export class NameTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  /** `conflict` when another container has the name, as name or as id. Reserving one's own name again is fine. */
  reserve(namespace: string, name: string, id: string): void {
    this.#db.transaction(() => {
      const holder = this.holder(namespace, name);
      if (holder !== undefined && holder !== id) {
        throw new HakoError(
          'conflict',
          `the name "${name}" is already in use by container "${holder}": ` +
            `remove or rename that container to use the name again`,
        );
      }
      this.#db.run(
        'INSERT INTO names (namespace, name, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
        namespace,
        name,
        id,
      );
    });
  }

  /** Gives a container another name in one step; all others it had are free afterwards. */
  rename(namespace: string, id: string, name: string): void {
    this.#db.transaction(() => {
      this.reserve(namespace, name, id);
      this.#db.run('DELETE FROM names WHERE namespace = ? AND id = ? AND name <> ?', namespace, id, name);
    });
  }

  /** Frees one name. Idempotent. */
  release(namespace: string, name: string): void {
    this.#db.run('DELETE FROM names WHERE namespace = ? AND name = ?', namespace, name);
  }

  /** Frees every name of a container. */
  releaseAll(namespace: string, id: string): void {
    this.#db.run('DELETE FROM names WHERE namespace = ? AND id = ?', namespace, id);
  }

  /** The container that has this name, as name or as id. */
  holder(namespace: string, name: string): string | undefined {
    const row =
      this.#db.get('SELECT id FROM names WHERE namespace = ? AND name = ?', namespace, name) ??
      this.#db.get('SELECT id FROM containers WHERE namespace = ? AND id = ?', namespace, name);
    return row === undefined ? undefined : text(row, 'id');
  }

  /** The name of a container, undefined when it has none. */
  nameOf(namespace: string, id: string): string | undefined {
    const row = this.#db.get('SELECT name FROM names WHERE namespace = ? AND id = ? LIMIT 1', namespace, id);
    return row === undefined ? undefined : text(row, 'name');
  }

  /** All names of a namespace by container id. */
  list(namespace: string): Map<string, string> {
    const rows = this.#db.all('SELECT id, name FROM names WHERE namespace = ?', namespace);
    return new Map(rows.map((row) => [text(row, 'id'), text(row, 'name')]));
  }

  /**
   * The id of the container that `ref` means: its id, its name (a leading slash is Docker's), or a prefix of the id
   * that no other container shares (more than one is `invalid-argument`). Undefined when there is none.
   */
  find(namespace: string, ref: string): string | undefined {
    if (ref === '') return undefined;
    const exact = this.#db.get('SELECT id FROM containers WHERE namespace = ? AND id = ?', namespace, ref);
    if (exact !== undefined) return text(exact, 'id');
    const name = ref.startsWith('/') ? ref.slice(1) : ref;
    const named = this.#db.get(
      'SELECT n.id AS id FROM names n JOIN containers c ON c.namespace = n.namespace AND c.id = n.id ' +
        'WHERE n.namespace = ? AND n.name = ?',
      namespace,
      name,
    );
    if (named !== undefined) return text(named, 'id');
    const prefixed = this.#db.all(
      'SELECT id FROM containers WHERE namespace = ? AND substr(id, 1, length(?)) = ? LIMIT 2',
      namespace,
      ref,
      ref,
    );
    if (prefixed.length > 1) {
      throw new HakoError('invalid-argument', `several container ids begin with "${ref}": give more characters`);
    }
    return prefixed[0] === undefined ? undefined : text(prefixed[0], 'id');
  }

  /** As `find`; not-found when there is none. */
  get(namespace: string, ref: string): string {
    const id = this.find(namespace, ref);
    if (id === undefined) throw notFound('container', ref);
    return id;
  }

  /** Frees names whose container was never made, at boot. */
  dropOrphans(): void {
    this.#db.run(
      'DELETE FROM names WHERE NOT EXISTS ' +
        '(SELECT 1 FROM containers c WHERE c.namespace = names.namespace AND c.id = names.id)',
    );
  }
}
