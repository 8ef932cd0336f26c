import { codeOf, HakoError, invalid } from '#base/errors.ts';
import { Locks } from '#base/locks.ts';
import type { Labels } from '#core/any.ts';
import type { Mount } from '#core/mounts.ts';
import type { Created, Layer, SnapshotDriver, SnapshotId, Usage } from '#core/snapshots.ts';
import { Namespaces } from '#proto/gen/containerd/services/namespaces/v1/namespaces_pb.ts';
import { Kind, Snapshots, type Info } from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import { ProxyConnection, type ProxyAddress } from './connection.ts';
import { isOurs, Marks } from './marks.ts';

/** The label that names the layer a tree is to become. */
const REF_LABEL = 'containerd.io/snapshot.ref';
/** Where a call goes that is about no namespace. Snapshotters that are nothing else do not look at it. */
const NO_NAMESPACE = 'default';

/** As containerd names the trees of its snapshotters: `<namespace>/<id>/<key>`. */
const NAME = /^([^/]+)\/([0-9]{1,19})\/(.+)$/s;

/**
 * A snapshotter in another process, behind containerd's snapshots service. Our ids there are names, and the ledger keeps
 * them; what we made there bears our mark, so that only that is ever removed.
 */
export class SnapshotProxy implements SnapshotDriver {
  readonly #name: string;
  readonly #connection: ProxyConnection;
  readonly #client: Client<typeof Snapshots>;
  readonly #marks: Marks;
  /** By tree: making one twice at once would find it there and not yet there. */
  readonly #locks = new Locks();

  /** As the configuration says of it. */
  readonly rebases: boolean;

  /** `owner` tells our trees from those of others that use the same snapshotter. */
  constructor(at: ProxyAddress, owner: string, { rebases = false }: { rebases?: boolean } = {}) {
    this.rebases = rebases;
    this.#name = at.name;
    this.#connection = new ProxyConnection(at);
    this.#client = this.#connection.service(Snapshots);
    this.#marks = new Marks(owner);
  }

  name({ namespace, id, key }: { namespace: string; id: SnapshotId; key: string }): SnapshotId {
    return `${namespace}/${id}/${key}` as SnapshotId;
  }

  async create(layer: Layer, signal: AbortSignal): Promise<Created> {
    if (!NAME.test(layer.id)) throw invalid(`snapshot id "${layer.id}": want a namespace, a number and a key`);
    using _lock = await this.#locks.hold(layer.id, signal);
    const request = {
      snapshotter: this.#name,
      key: layer.id,
      parent: layer.parents[0] ?? '',
      labels: { ...layer.labels, ...this.#marks.labels() },
    };
    const options = this.#connection.on(layer.namespace, signal);
    return await this.#connection.ask(async () => {
      try {
        await (layer.readonly ? this.#client.view(request, options) : this.#client.prepare(request, options));
        return { kind: 'empty' };
      } catch (error) {
        if (codeOf(error) !== 'already-exists') throw error;
        return this.#existing(layer, error, signal);
      }
    });
  }

  async seal(layer: Layer, signal: AbortSignal, as?: SnapshotId): Promise<Usage> {
    if (as === undefined) throw invalid(`snapshot "${layer.id}": the name it is to be committed under is missing`);
    const labels = { ...layer.labels, ...this.#marks.labels() };
    const parent = this.rebases ? (layer.parents[0] ?? '') : '';
    const options = this.#connection.on(layer.namespace, signal);
    await this.#connection.ask(async () => {
      try {
        await this.#client.commit({ snapshotter: this.#name, name: as, key: layer.id, labels, parent }, options);
      } catch (error) {
        // Told before, by a call that did not hear the answer.
        if (!['not-found', 'already-exists'].includes(codeOf(error))) throw error;
        const there = await this.#find(as, layer.namespace, signal);
        if (there?.kind !== Kind.COMMITTED) throw error;
      }
    });
    return this.usage({ ...layer, id: as }, signal);
  }

  async usage(layer: Layer, signal: AbortSignal): Promise<Usage> {
    const request = { snapshotter: this.#name, key: layer.id };
    const options = this.#connection.on(layer.namespace, signal);
    const { size, inodes } = await this.#connection.ask(() => this.#client.usage(request, options));
    return { bytes: Number(size), inodes: Number(inodes) };
  }

  async mounts(layer: Layer, signal: AbortSignal): Promise<readonly Mount[]> {
    const request = { snapshotter: this.#name, key: layer.id };
    const options = this.#connection.on(layer.namespace, signal);
    const { mounts } = await this.#connection.ask(() => this.#client.mounts(request, options));
    return mounts.map(({ type, source, target, options: words }) => ({
      type,
      source,
      options: words,
      ...(target === '' ? {} : { target }),
    }));
  }

  async relabel(layer: Layer, signal: AbortSignal): Promise<void> {
    const info = { name: layer.id, labels: { ...layer.labels, ...this.#marks.labels() } };
    const request = { snapshotter: this.#name, info, updateMask: { paths: ['labels'] } };
    await this.#connection.ask(() => this.#client.update(request, this.#connection.on(layer.namespace, signal)));
  }

  async remove(id: SnapshotId, signal: AbortSignal): Promise<void> {
    const namespace = NAME.exec(id)?.[1];
    await this.#connection.ask(async () => {
      // A layer that the remote side had already may be someone else's.
      const there = namespace === undefined ? await this.#find(id, NO_NAMESPACE, signal) : undefined;
      if (namespace === undefined && (there === undefined || !this.#marks.areOn(there.labels))) return;
      const options = this.#connection.on(namespace ?? NO_NAMESPACE, signal);
      try {
        await this.#client.remove({ snapshotter: this.#name, key: id }, options);
      } catch (error) {
        if (codeOf(error) !== 'not-found') throw error;
      }
    });
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    try {
      const options = this.#connection.on(NO_NAMESPACE, signal);
      await this.#connection.ask(() => this.#client.cleanup({ snapshotter: this.#name }, options));
    } catch (error) {
      if (codeOf(error) !== 'unimplemented') throw error;
    }
  }

  async *list(signal: AbortSignal): AsyncIterable<SnapshotId> {
    const seen = new Set<string>();
    for (const namespace of await this.#namespaces(signal)) {
      for await (const { name, labels } of this.#walk(namespace, [this.#marks.filter], signal)) {
        if (seen.has(name) || !this.#marks.areOn(labels)) continue;
        seen.add(name);
        yield name as SnapshotId;
      }
    }
  }

  /** Breaks the connection off. */
  close(): void {
    this.#connection.close();
  }

  /** Already there: a layer that the remote side holds, or what we made before a crash. */
  async #existing(layer: Layer, error: unknown, signal: AbortSignal): Promise<Created> {
    const target = layer.labels[REF_LABEL] ?? '';
    const parent = layer.parents[0] ?? '';
    if (target !== '') {
      const filter = `labels."${REF_LABEL}"==${JSON.stringify(target)},parent==${JSON.stringify(parent)}`;
      for await (const info of this.#walk(layer.namespace, [filter], signal)) {
        // Not every snapshotter honours filters.
        if (info.kind !== Kind.COMMITTED || info.labels[REF_LABEL] !== target || info.parent !== parent) continue;
        return { kind: 'complete', id: info.name as SnapshotId, labels: withoutMarks(info.labels) };
      }
    }
    const own = await this.#find(layer.id, layer.namespace, signal);
    if (own !== undefined && own.parent === parent) return { kind: 'empty' };
    if (target !== '') {
      throw new HakoError('not-found', `target snapshot ${JSON.stringify(target)} in backend: not found`);
    }
    // A client would take "already exists" for its own key's.
    const reason = error instanceof Error ? error.message : String(error);
    throw new HakoError('unknown', `unexpected error from snapshotter: ${reason}: unknown`, error);
  }

  async #find(key: string, namespace: string, signal: AbortSignal): Promise<Info | undefined> {
    try {
      const options = this.#connection.on(namespace, signal);
      return (await this.#client.stat({ snapshotter: this.#name, key }, options)).info;
    } catch (error) {
      if (codeOf(error) === 'not-found') return undefined;
      throw error;
    }
  }

  async *#walk(namespace: string, filters: string[], signal: AbortSignal): AsyncGenerator<Info> {
    const options = this.#connection.on(namespace, signal);
    try {
      for await (const { info } of this.#client.list({ snapshotter: this.#name, filters }, options)) yield* info;
    } catch (error) {
      throw this.#connection.explain(error);
    }
  }

  /** Those of a remote side that has any: a whole containerd shows the trees of one namespace at a time. */
  async #namespaces(signal: AbortSignal): Promise<string[]> {
    const client = this.#connection.service(Namespaces);
    try {
      const { namespaces } = await client.list({}, this.#connection.on(NO_NAMESPACE, signal));
      return [...new Set([NO_NAMESPACE, ...namespaces.map(({ name }) => name)])];
    } catch (error) {
      if (codeOf(error) !== 'unimplemented') throw this.#connection.explain(error);
      return [NO_NAMESPACE];
    }
  }
}

const withoutMarks = (labels: Labels): Labels =>
  Object.fromEntries(Object.entries(labels).filter(([key]) => !isOurs(key)));
