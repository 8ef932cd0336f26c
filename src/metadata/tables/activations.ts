import type { ActivationId, ActiveMount } from '#core/activations.ts';
import type { Labels } from '#core/any.ts';
import type { Mount } from '#core/mounts.ts';
import { labels, labelsJson, number, text } from '../columns.ts';
import type { Row, Sqlite } from '../sqlite.ts';

/** Mounts that were activated together, under a client's name. */
export interface ActivationRow {
  readonly id: ActivationId;
  readonly namespace: string;
  readonly name: string;
  /** The lease it was made under; '' when there was none. */
  readonly lease: string;
  /** False until the mounts are made: nobody but their maker may see them. */
  readonly confirmed: boolean;
  readonly labels: Labels;
  readonly active: readonly ActiveMount[];
  readonly system: readonly Mount[];
}

export class ActivationTable {
  readonly #db: Sqlite;

  constructor(db: Sqlite) {
    this.#db = db;
  }

  find(namespace: string, name: string): ActivationRow | undefined {
    const row = this.#db.get('SELECT * FROM activations WHERE namespace = ? AND name = ?', namespace, name);
    return row === undefined ? undefined : toActivation(row);
  }

  /** Those that are confirmed, by name. */
  list(namespace: string): ActivationRow[] {
    return this.#db
      .all('SELECT * FROM activations WHERE namespace = ? AND confirmed = 1 ORDER BY name', namespace)
      .map(toActivation);
  }

  all(): ActivationRow[] {
    return this.#db.all('SELECT * FROM activations').map(toActivation);
  }

  /** Makes an unconfirmed row and gives its id, which is never given twice. */
  insert(row: { namespace: string; name: string; lease: string; labels: Labels }): ActivationId {
    const id = this.#db.insert(
      `INSERT INTO activations (namespace, name, lease, confirmed, labels, active, system)
       VALUES (?, ?, ?, 0, ?, '[]', '[]')`,
      row.namespace,
      row.name,
      row.lease,
      labelsJson(row.labels),
    );
    return String(id) as ActivationId;
  }

  confirm(id: ActivationId, made: { active: readonly ActiveMount[]; system: readonly Mount[] }): void {
    this.#db.run(
      'UPDATE activations SET confirmed = 1, active = ?, system = ? WHERE id = ?',
      JSON.stringify(made.active),
      JSON.stringify(made.system),
      Number(id),
    );
  }

  relabel(id: ActivationId, map: Labels): void {
    this.#db.run('UPDATE activations SET labels = ? WHERE id = ?', labelsJson(map), Number(id));
  }

  /** True when it was there. */
  delete(id: ActivationId): boolean {
    return this.#db.run('DELETE FROM activations WHERE id = ?', Number(id)) > 0;
  }
}

function toActivation(row: Row): ActivationRow {
  const active = JSON.parse(text(row, 'active')) as (Omit<ActiveMount, 'mountedAt'> & { mountedAt: string })[];
  return {
    id: String(number(row, 'id')) as ActivationId,
    namespace: text(row, 'namespace'),
    name: text(row, 'name'),
    lease: text(row, 'lease'),
    confirmed: number(row, 'confirmed') === 1,
    labels: labels(row),
    active: active.map((one) => ({ ...one, mountedAt: new Date(one.mountedAt) })),
    system: JSON.parse(text(row, 'system')) as Mount[],
  };
}
