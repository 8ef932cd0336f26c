import type { Call } from '#base/call.ts';
import { alreadyExists, HakoError, invalid, messageOf } from '#base/errors.ts';
import { classTwice, labelField, parseFilters } from '#base/filters.ts';
import { checkIdentifier, checkLabels } from '#base/identifiers.ts';
import { silent, type Logger } from '#base/log.ts';
import { now } from '#base/moment.ts';
import type { Any, Labels } from '#core/any.ts';
import type { Container } from '#core/containers.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { Events } from './events.ts';
import { keptLabels, maskedLabels, ownValue, present, refusePath } from './fields.ts';

export type NewContainer = Omit<Container, 'createdAt' | 'updatedAt'>;

export interface ContainersParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly logger?: Logger;
}

/** The label under which nerdctl, and our own Docker door, keep a container's name. */
const NAME_LABEL = 'nerdctl/name';

/** Records of what is to be run. */
export class Containers {
  readonly #ledger: Ledger;
  readonly #events: Events;
  readonly #logger: Logger;
  readonly #onDeleted: ((namespace: string, id: string) => Promise<void>)[] = [];

  constructor(parts: ContainersParts) {
    this.#ledger = parts.ledger;
    this.#events = parts.events;
    this.#logger = parts.logger ?? silent;
  }

  /** Called after a container's row is gone, for what hangs on the container on disk. Must be idempotent. */
  onDeleted(callback: (namespace: string, id: string) => Promise<void>): void {
    this.#onDeleted.push(callback);
  }

  get(call: Call, id: string): Container {
    const container = this.find(call, id);
    if (container === undefined) throw this.#notFound(call, id);
    return container;
  }

  find(call: Call, id: string): Container | undefined {
    return this.#ledger.containers.find(call.namespace, id);
  }

  /** Filters in containerd's grammar; several are alternatives; none lists all. */
  list(call: Call, filters: readonly string[]): IteratorObject<Container> {
    const match = parseFilters(filters, classTwice);
    return this.#ledger.containers
      .list(call.namespace)
      .filter((container) => match((path) => containerField(container, path)));
  }

  async create(call: Call, given: NewContainer): Promise<Container> {
    check(given, 'create container failed validation: ');
    const at = now();
    const container: Container = { ...given, labels: keptLabels(given.labels), createdAt: at, updatedAt: at };
    this.#ledger.transaction(() => {
      const holder = this.#ledger.names.holder(call.namespace, container.id);
      if (this.#ledger.containers.has(call.namespace, container.id)) throw alreadyExists('container', container.id);
      if (holder !== undefined && holder !== container.id) {
        throw new HakoError(
          'already-exists',
          `container ${JSON.stringify(container.id)}: already exists: it is the name of container "${holder}"`,
        );
      }
      this.#ledger.namespaces.ensure(call.namespace);
      this.#ledger.containers.put(call.namespace, container);
      this.#name(call, container);
      const fields = { id: container.id, image: container.image, runtime: container.runtime };
      this.#events.publish(call.namespace, '/containers/create', { kind: 'plain', type: 'ContainerCreate', fields });
    });
    await this.#ledger.durable();
    return container;
  }

  /** `paths` is a field mask in the proto's names; empty replaces what containerd lets be replaced. */
  async update(call: Call, given: NewContainer, paths: readonly string[]): Promise<Container> {
    if (given.id === '') throw invalid('must specify a container id: invalid argument');
    const updated = this.#ledger.transaction(() => {
      const before = this.find(call, given.id);
      if (before === undefined) throw this.#notFound(call, given.id);
      const after: Container = { ...masked(before, given, paths), updatedAt: now() };
      check(after, 'update failed validation: ');
      this.#ledger.containers.put(call.namespace, after);
      this.#name(call, after);
      const { id, image, labels, snapshotKey } = after;
      const fields = { id, image, labels, snapshotKey };
      this.#events.publish(call.namespace, '/containers/update', { kind: 'plain', type: 'ContainerUpdate', fields });
      return after;
    });
    await this.#ledger.durable();
    return updated;
  }

  /** failed-precondition while it has a task. */
  async delete(call: Call, id: string): Promise<void> {
    const { namespace } = call;
    this.#ledger.transaction(() => {
      if (this.#ledger.processes.find(namespace, id, '') !== undefined) {
        throw new HakoError(
          'failed-precondition',
          `cannot delete container ${JSON.stringify(id)} while it has a task: delete the task first: failed precondition`,
        );
      }
      if (!this.#ledger.containers.delete(namespace, id)) throw this.#notFound(call, id);
      this.#ledger.runs.delete(namespace, id);
      this.#ledger.names.releaseAll(namespace, id);
      this.#events.publish(namespace, '/containers/delete', { kind: 'plain', type: 'ContainerDelete', fields: { id } });
    });
    await this.#ledger.durable();
    for (const callback of this.#onDeleted) {
      try {
        await callback(namespace, id);
      } catch (error) {
        // The row is gone, so the delete has happened; what is left on disk is removed at the next start.
        this.#logger.log('warn', 'cleaning up after a container failed', { namespace, id, error: messageOf(error) });
      }
    }
  }

  #notFound(call: Call, id: string): HakoError {
    return new HakoError('not-found', `container ${JSON.stringify(id)} in namespace "${call.namespace}": not found`);
  }

  /** Keeps the name of the label in the look-up space of names. */
  #name(call: Call, container: Container): void {
    const name = container.labels[NAME_LABEL];
    if (name !== undefined) this.#ledger.names.rename(call.namespace, container.id, name);
  }
}

function masked(before: Container, given: NewContainer, paths: readonly string[]): Container {
  let after = before;
  if (paths.length === 0) {
    const immutable = (field: string): never => {
      throw invalid(`container.${field} field is immutable: invalid argument`);
    };
    if (before.snapshotter !== given.snapshotter) immutable('Snapshotter');
    if (before.runtime.name !== given.runtime.name) immutable('Runtime.Name');
  }
  const full = ['labels', 'spec', 'extensions', 'image', 'snapshotkey'];
  const chosen = paths.length === 0 ? full : paths;
  const labels = maskedLabels(before.labels, given.labels, chosen, (path) => {
    after = maskedField(after, given, path);
  });
  return { ...after, labels: keptLabels(labels) };
}

function maskedField(container: Container, given: NewContainer, path: string): Container {
  switch (path) {
    case 'spec': {
      const { spec: _, ...rest } = container;
      return given.spec === undefined ? rest : { ...rest, spec: given.spec };
    }
    case 'extensions':
      return { ...container, extensions: given.extensions };
    case 'image':
      return { ...container, image: given.image };
    case 'snapshotkey':
    case 'snapshot_key':
      return { ...container, snapshotKey: given.snapshotKey };
  }
  if (!path.startsWith('extensions.')) return refusePath(path, JSON.stringify(container.id));
  const key = path.slice('extensions.'.length);
  const extensions = new Map<string, Any>(Object.entries(container.extensions));
  const value = ownValue(given.extensions, key);
  if (value === undefined) extensions.delete(key);
  else extensions.set(key, value);
  return { ...container, extensions: Object.fromEntries(extensions) };
}

function check(container: NewContainer, before: string): void {
  checkIdentifier(container.id, `${before}container.ID`);
  for (const key of Object.keys(container.extensions)) {
    if (key === '') throw invalid(`${before}container.Extension keys must not be zero-length: invalid argument`);
  }
  checkLabels(container.labels satisfies Labels, `${before}containers.Labels`);
  if (container.runtime.name === '') throw invalid(`${before}container.Runtime.Name must be set: invalid argument`);
  if (container.snapshotKey !== '' && container.snapshotter === '') {
    throw invalid(`${before}container.Snapshotter must be set if container.SnapshotKey is set: invalid argument`);
  }
}

function containerField(container: Container, path: readonly string[]): string | undefined {
  const [first, ...rest] = path;
  if (first === 'id') return present(container.id);
  if (first === 'image') return present(container.image);
  if (first === 'labels') return labelField(container.labels, rest);
  if (first === 'runtime' && rest[0] === 'name') return present(container.runtime.name);
  return undefined;
}
