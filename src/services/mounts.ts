import type { Call } from '#base/call.ts';
import { HakoError, invalid, messageOf } from '#base/errors.ts';
import { labelField, parseFilters } from '#base/filters.ts';
import { checkLabels } from '#base/identifiers.ts';
import { Locks } from '#base/locks.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Activated, Activator } from '#core/activations.ts';
import type { Labels } from '#core/any.ts';
import type { Mount } from '#core/mounts.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { ActivationRow } from '#metadata/tables/activations.ts';
import { keptLabels, maskedLabels, refusePath } from './fields.ts';
import type { Collectible, Collector } from './gc-collectors.ts';

export interface ActivationInfo extends Activated {
  readonly name: string;
  readonly labels: Labels;
}

export interface MountsParts {
  readonly ledger: Ledger;
  readonly activator: Activator;
  readonly logger?: Logger;
}

const longestName = 1024;

/**
 * Mounts that are made for clients under names, outside of any container: file systems over devices, and what else takes
 * more than mount(2). The garbage collector takes those that no lease and no back reference holds, as with containerd.
 */
export class Mounts implements Collector {
  readonly kind = 'mount';
  readonly #ledger: Ledger;
  readonly #activator: Activator;
  readonly #logger: Logger;
  /** By namespace and name. */
  readonly #locks = new Locks();

  constructor(parts: MountsParts) {
    this.#ledger = parts.ledger;
    this.#activator = parts.activator;
    this.#logger = parts.logger ?? silent;
  }

  /** already-exists for a name that is taken; unimplemented where the caller can mount all by itself. */
  async activate(
    call: Call,
    name: string,
    mounts: readonly Mount[],
    options: { readonly labels?: Labels; readonly temporary?: boolean } = {},
  ): Promise<ActivationInfo> {
    if (name === '' || name.length > longestName)
      throw invalid(`the name of an activation must have 1 to ${longestName} characters: invalid argument`);
    const labels = keptLabels(options.labels ?? {});
    checkLabels(labels, 'labels');
    using _lock = await this.#hold(call.namespace, name, call.signal);
    const id = this.#ledger.transaction(() => {
      if (this.#ledger.activations.find(call.namespace, name) !== undefined)
        throw new HakoError('already-exists', `mount ${JSON.stringify(name)}: already exists`);
      this.#ledger.namespaces.ensure(call.namespace);
      this.#requireLease(call);
      return this.#ledger.activations.insert({ namespace: call.namespace, name, lease: call.lease ?? '', labels });
    });
    await using undo = new AsyncDisposableStack();
    undo.defer(() => void this.#ledger.activations.delete(id));
    const made = await this.#activator.activate(id, mounts, { temporary: options.temporary === true }, call.signal);
    undo.defer(() => this.#activator.deactivate(id));
    this.#ledger.transaction(() => {
      // The lease may have gone meanwhile, and with it the reason to mount anything.
      this.#requireLease(call);
      this.#ledger.activations.confirm(id, made);
    });
    undo.move();
    return { name, labels, ...made };
  }

  async deactivate(call: Call, name: string): Promise<void> {
    using _lock = await this.#hold(call.namespace, name, call.signal);
    const row = this.#get(call.namespace, name);
    await this.#take(row);
  }

  info(call: Call, name: string): ActivationInfo {
    return toInfo(this.#get(call.namespace, name));
  }

  /** Changes labels; nothing else of what is mounted can be changed. */
  update(call: Call, given: { name: string; labels: Labels }, paths: readonly string[]): ActivationInfo {
    return this.#ledger.transaction(() => {
      const row = this.#get(call.namespace, given.name);
      const labels = maskedLabels(row.labels, given.labels, paths, (path) =>
        refusePath(path, `mount ${JSON.stringify(given.name)}`),
      );
      checkLabels(labels, 'info.Labels');
      this.#ledger.activations.relabel(row.id, labels);
      return toInfo(this.#get(call.namespace, given.name));
    });
  }

  list(call: Call, filters: readonly string[]): ActivationInfo[] {
    const match = parseFilters(filters);
    return this.#ledger.activations
      .list(call.namespace)
      .map(toInfo)
      .filter((info) =>
        match(([first, ...rest]) =>
          first === 'name' ? info.name : first === 'labels' ? labelField(info.labels, rest) : undefined,
        ),
      );
  }

  /**
   * Agrees with the disk after a start, before anybody may call: after a reboot nothing is mounted any more, and what a
   * killed daemon had begun is undone.
   */
  async reconcile(): Promise<void> {
    const there = new Set(await this.#activator.list());
    const kept = new Set<string>();
    for (const row of this.#ledger.activations.all()) {
      if (row.confirmed && there.has(row.id)) kept.add(row.id);
      else this.#ledger.activations.delete(row.id);
    }
    for (const id of there) {
      if (kept.has(id)) continue;
      await this.#activator.deactivate(id).catch((error: unknown) => {
        this.#logger.log('warn', 'what was mounted before could not be undone', { id, error: messageOf(error) });
      });
    }
  }

  *all(): Iterable<Collectible> {
    for (const { namespace, name, lease, confirmed, labels } of this.#ledger.activations.all())
      yield { namespace, name, active: !confirmed, labels, ...(lease === '' ? {} : { lease }) };
  }

  async remove(namespace: string, name: string, signal: AbortSignal): Promise<void> {
    using _lock = await this.#hold(namespace, name, signal);
    const row = this.#ledger.activations.find(namespace, name);
    if (row?.confirmed === true) await this.#take(row);
  }

  /** What cannot be unmounted keeps its row, so that it can be tried again. */
  async #take(row: ActivationRow): Promise<void> {
    await this.#activator.deactivate(row.id);
    this.#ledger.activations.delete(row.id);
  }

  #hold(namespace: string, name: string, signal: AbortSignal): Promise<Disposable> {
    return this.#locks.hold(`${namespace}\0${name}`, signal);
  }

  #requireLease({ namespace, lease }: Call): void {
    if (lease !== undefined && this.#ledger.leases.find(namespace, lease) === undefined)
      throw new HakoError('not-found', `lease ${JSON.stringify(lease)} does not exist: not found`);
  }

  #get(namespace: string, name: string): ActivationRow {
    const row = this.#ledger.activations.find(namespace, name);
    if (row === undefined || !row.confirmed)
      throw new HakoError('not-found', `mount ${JSON.stringify(name)}: not found`);
    return row;
  }
}

const toInfo = ({ name, labels, active, system }: ActivationRow): ActivationInfo => ({ name, labels, active, system });
