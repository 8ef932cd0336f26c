import type { Call } from '#base/call.ts';
import { codeless, HakoError, invalid } from '#base/errors.ts';
import { classTwice, labelField, parseFilters } from '#base/filters.ts';
import { checkIdentifier } from '#base/identifiers.ts';
import { now } from '#base/moment.ts';
import type { Any } from '#core/any.ts';
import type { Sandbox } from '#core/sandboxes.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { keptLabels, maskedLabels, refusePath } from './fields.ts';

export type NewSandbox = Omit<Sandbox, 'createdAt' | 'updatedAt'>;

/** Records of the places that groups of containers live in. Nothing of them runs: that is `SandboxControllers`. */
export class Sandboxes {
  readonly #ledger: Ledger;

  constructor(parts: { readonly ledger: Ledger }) {
    this.#ledger = parts.ledger;
  }

  get(call: Call, id: string): Sandbox {
    const sandbox = this.#ledger.sandboxes.find(call.namespace, id);
    if (sandbox === undefined) throw missing(id);
    return sandbox;
  }

  /** Filters in containerd's grammar; several are alternatives; none lists all. */
  list(call: Call, filters: readonly string[]): IteratorObject<Sandbox> {
    const match = parseFilters(filters, classTwice);
    return this.#ledger.sandboxes
      .list(call.namespace)
      .filter((sandbox) => match((path) => sandboxField(sandbox, path)));
  }

  async create(call: Call, given: NewSandbox): Promise<Sandbox> {
    checkIdentifier(given.id, 'failed to validate sandbox: invalid sandbox ID');
    const at = now();
    const sandbox: Sandbox = { ...given, labels: keptLabels(given.labels), createdAt: at, updatedAt: at };
    checkExtensions(sandbox);
    this.#ledger.transaction(() => {
      if (this.#ledger.sandboxes.find(call.namespace, given.id) !== undefined) {
        throw new HakoError(
          'already-exists',
          `write error: sandbox bucket ${JSON.stringify(given.id)} already exists: already exists`,
        );
      }
      this.#ledger.namespaces.ensure(call.namespace);
      this.#ledger.sandboxes.put(call.namespace, sandbox);
    });
    await this.#ledger.durable();
    return sandbox;
  }

  /** `paths` is a field mask in the proto's names; empty replaces what containerd lets be replaced. */
  async update(call: Call, given: NewSandbox, paths: readonly string[]): Promise<Sandbox> {
    const updated = this.#ledger.transaction(() => {
      const before = this.get(call, given.id);
      const after: Sandbox = { ...masked(before, given, paths), updatedAt: now() };
      checkExtensions(after);
      this.#ledger.sandboxes.put(call.namespace, after);
      return after;
    });
    await this.#ledger.durable();
    return updated;
  }

  /** Whether it runs is not asked, as containerd does not: a client shuts it down before. */
  async delete(call: Call, id: string): Promise<void> {
    this.#ledger.transaction(() => {
      if (this.#ledger.sandboxes.delete(call.namespace, id)) return;
      throw new HakoError('not-found', `failed to delete sandbox ${JSON.stringify(id)}: not found`);
    });
    await this.#ledger.durable();
  }
}

/** containerd's words, which scripts may look for. */
const missing = (id: string): HakoError =>
  new HakoError('not-found', `bucket ${JSON.stringify(id)} not found: not found`);

function masked(before: Sandbox, given: NewSandbox, paths: readonly string[]): Sandbox {
  if (paths.length === 0 && before.runtime.name !== given.runtime.name) {
    throw invalid('sandbox.Runtime.Name field is immutable: invalid argument');
  }
  let after = before;
  const chosen = paths.length === 0 ? ['labels', 'extensions', 'spec', 'runtime'] : paths;
  const labels = maskedLabels(before.labels, given.labels, chosen, (path) => {
    after = maskedField(after, given, path);
  });
  return { ...after, labels: keptLabels(labels) };
}

function maskedField(sandbox: Sandbox, given: NewSandbox, path: string): Sandbox {
  switch (path) {
    case 'extensions':
      return { ...sandbox, extensions: given.extensions };
    case 'runtime':
      return { ...sandbox, runtime: given.runtime };
    case 'spec': {
      const { spec: _, ...rest } = sandbox;
      return given.spec === undefined ? rest : { ...rest, spec: given.spec };
    }
  }
  if (!path.startsWith('extensions.')) return refusePath(path, `sandbox ${JSON.stringify(sandbox.id)}`);
  const key = path.slice('extensions.'.length);
  const extensions: Record<string, Any> = { ...sandbox.extensions };
  const value = given.extensions[key];
  if (value === undefined) delete extensions[key];
  else extensions[key] = value;
  return { ...sandbox, extensions };
}

/** containerd finds out when it writes, and has no code for it. */
function checkExtensions({ extensions }: Sandbox): void {
  if (Object.hasOwn(extensions, '')) throw codeless('write error: an extension has no name');
}

function sandboxField(sandbox: Sandbox, [first, ...rest]: readonly string[]): string | undefined {
  if (first === 'id') return sandbox.id;
  return first === 'labels' ? labelField(sandbox.labels, rest) : undefined;
}
