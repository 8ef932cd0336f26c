import { alreadyExists, HakoError, invalid, notFound } from '#base/errors.ts';
import { checkIdentifier, checkLabels } from '#base/identifiers.ts';
import type { Labels } from '#core/any.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { Events } from './events.ts';
import { keptLabels, maskedLabels } from './fields.ts';

export interface Namespace {
  readonly name: string;
  readonly labels: Labels;
}

export interface NamespacesParts {
  readonly ledger: Ledger;
  readonly events: Events;
}

/** Administrative walls between clients. Not a security boundary. */
export class Namespaces {
  readonly #ledger: Ledger;
  readonly #events: Events;

  constructor(parts: NamespacesParts) {
    this.#ledger = parts.ledger;
    this.#events = parts.events;
  }

  get(name: string): Namespace {
    // containerd answers for a name nobody has used yet, too: it has no labels.
    return this.#ledger.namespaces.find(name) ?? { name, labels: {} };
  }

  list(): Namespace[] {
    return this.#ledger.namespaces.list();
  }

  async create(namespace: Namespace): Promise<Namespace> {
    checkIdentifier(namespace.name);
    checkLabels(namespace.labels, 'namespace.Labels');
    const created = { name: namespace.name, labels: keptLabels(namespace.labels) };
    this.#ledger.transaction(() => {
      if (this.#ledger.namespaces.find(namespace.name) !== undefined) throw alreadyExists('namespace', namespace.name);
      this.#ledger.namespaces.put(namespace);
      this.#publish('/namespaces/create', 'NamespaceCreate', created);
    });
    await this.#ledger.durable();
    return created;
  }

  /** `paths` is a field mask (`labels.KEY`); empty replaces all labels. */
  async update(namespace: Namespace, paths: readonly string[]): Promise<Namespace> {
    checkIdentifier(namespace.name);
    // Without a mask all labels are replaced; by name only one at a time can be.
    if (paths.includes('labels')) throw invalid('cannot update "labels" field');
    const updated = this.#ledger.transaction(() => {
      // As with any other object in it, setting a label calls a namespace into being.
      const before = this.get(namespace.name).labels;
      const labels = maskedLabels(before, namespace.labels, paths, (path) => {
        throw invalid(`cannot update ${JSON.stringify(path)} field`);
      });
      checkLabels(labels, 'namespace.Labels');
      this.#ledger.namespaces.put({ name: namespace.name, labels });
      // containerd tells what was asked for, not what came of it.
      this.#publish('/namespaces/update', 'NamespaceUpdate', namespace);
      return { name: namespace.name, labels: keptLabels(labels) };
    });
    await this.#ledger.durable();
    return updated;
  }

  /** failed-precondition while anything lives in it. */
  async delete(name: string): Promise<void> {
    this.#ledger.transaction(() => {
      const contents = this.#ledger.namespaces.contents(name);
      if (contents.length > 0) {
        throw new HakoError(
          'failed-precondition',
          `namespace ${JSON.stringify(name)} must be empty, but it still has ${contents.join(', ')}: failed precondition`,
        );
      }
      if (!this.#ledger.namespaces.delete(name)) throw notFound('namespace', name);
      this.#events.publish(name, '/namespaces/delete', { kind: 'plain', type: 'NamespaceDelete', fields: { name } });
    });
    await this.#ledger.durable();
  }

  #publish(topic: string, type: string, namespace: Namespace): void {
    const fields = { name: namespace.name, labels: namespace.labels };
    this.#events.publish(namespace.name, topic, { kind: 'plain', type, fields });
  }
}
