import type { Labels } from '#core/any.ts';
import type { Change } from '#metadata/changes.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { resourceKey } from './gc-graph.ts';
import { labelRules, nodeKey, treeKey, type NodeKey } from './gc-rules.ts';
import type { Garbage } from './gc-search.ts';

/**
 * Remembers what requests touch while garbage is looked for and swept: every row that is made or changed, and everything
 * that it names afterwards. What was garbage before can only have come to life through one of them (docs/walks/gc.md
 * has the proof), so whatever the barrier has, and whatever that holds, stays until the next collection.
 */
export class Barrier implements Disposable {
  readonly #ledger: Ledger;
  readonly #kinds: readonly string[];
  readonly #touched = new Set<NodeKey>();
  readonly #stop: () => void;
  #own = false;

  constructor(ledger: Ledger, kinds: readonly string[]) {
    this.#ledger = ledger;
    this.#kinds = kinds;
    this.#stop = ledger.changes.watch((change) => {
      if (!this.#own) this.#touch(change);
    });
  }

  /** What `sweep` changes is not a request's doing. It must not wait. */
  sweeping<T>(sweep: () => T): T {
    this.#own = true;
    try {
      return sweep();
    } finally {
      this.#own = false;
    }
  }

  get isSweeping(): boolean {
    return this.#own;
  }

  touches({ key, id, absentHolders }: Garbage): boolean {
    return (
      this.#touched.has(key) ||
      (id !== undefined && key.startsWith('snapshot\0') && this.#touched.has(treeKey(id))) ||
      (absentHolders?.some((holder) => this.#touched.has(holder)) ?? false)
    );
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  #touch(change: Change): void {
    const { kind, namespace, name } = change;
    if (change.gone) return;
    if (kind === 'snapshot') return this.#touchTree(name);
    this.#touched.add(nodeKey(kind, namespace, name));
    if (change.resource !== undefined)
      this.#touched.add(resourceKey(namespace, change.resource.type, change.resource.id));
    switch (kind) {
      case 'image': {
        const image = this.#ledger.images.find(namespace, name);
        if (image === undefined) return;
        this.#touched.add(nodeKey('content', namespace, image.target.digest));
        return this.#touchNamed(namespace, image.labels);
      }
      case 'container': {
        const container = this.#ledger.containers.find(namespace, name);
        if (container === undefined) return;
        this.#touched.add(nodeKey('snapshot', namespace, `${container.snapshotter}/${container.snapshotKey}`));
        return this.#touchNamed(namespace, container.labels);
      }
      case 'content':
        return this.#touchNamed(namespace, this.#ledger.blobs.find(namespace, name)?.labels ?? {});
      case 'sandbox':
        return this.#touchNamed(namespace, change.labels ?? {});
      case 'lease':
      case 'ingest':
      case 'namespace':
    }
  }

  /** By the row's id, and by the key it has now. */
  #touchTree(id: string): void {
    this.#touched.add(treeKey(id));
    const row = this.#ledger.snapshots.byId(id);
    if (row === undefined) return;
    const { namespace, snapshotter, key, parentKey, labels } = row;
    this.#touched.add(nodeKey('snapshot', namespace, `${snapshotter}/${key}`));
    if (parentKey !== '') this.#touched.add(nodeKey('snapshot', namespace, `${snapshotter}/${parentKey}`));
    this.#touchNamed(namespace, labels);
  }

  /** What labels name now, whether their conditions hold or not. */
  #touchNamed(namespace: string, labels: Labels): void {
    const { references, conditions } = labelRules(labels, namespace, this.#kinds);
    for (const { key } of references) this.#touched.add(key);
    for (const { key } of conditions) this.#touched.add(key);
  }
}
