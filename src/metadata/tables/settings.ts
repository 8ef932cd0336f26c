import { text } from '../columns.ts';
import type { Sqlite } from '../sqlite.ts';

/** Small values by key. A key begins with the name of its owner (`engine/…`). */
export class SettingTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  get(key: string): string | undefined {
    const row = this.#db.get('SELECT value FROM settings WHERE key = ?', key);
    return row === undefined ? undefined : text(row, 'value');
  }

  set(key: string, value: string): void {
    this.#db.run(
      'INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
      key,
      value,
    );
  }

  /** True when it was there. */
  delete(key: string): boolean {
    return this.#db.run('DELETE FROM settings WHERE key = ?', key) > 0;
  }

  list(prefix: string): Map<string, string> {
    const rows = this.#db.all(
      'SELECT key, value FROM settings WHERE substr(key, 1, length(?)) = ? ORDER BY key',
      prefix,
      prefix,
    );
    return new Map(rows.map((row) => [text(row, 'key'), text(row, 'value')]));
  }
}
