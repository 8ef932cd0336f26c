import { alreadyExists, HakoError, notFound } from '#base/errors.ts';
import { silent } from '#base/log.ts';
import { Kind, Snapshots } from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';
import { GrpcServer } from '#wire/grpc-server.ts';
import { grpcService } from '#wire/grpc-service.ts';

interface Tree {
  kind: Kind;
  parent: string;
  labels: Record<string, string>;
}

const REF = 'containerd.io/snapshot.ref';

/**
 * A snapshotter in a process of its own, as containerd's proxy plugins are: names and parents in memory, no disk. It
 * knows nothing of namespaces. Layers in `holds` it has already, as one that pulls lazily.
 */
export class RemoteSnapshotter {
  readonly trees = new Map<string, Tree>();
  readonly holds = new Set<string>();
  /** What was asked of it, by method and key. */
  readonly asked: string[] = [];
  /** Awaited after each deed and before its answer, so that a test can stop it there. */
  answering: (method: string, key: string) => Promise<void> = async () => {};
  readonly #address: string;
  #server: GrpcServer | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  async start(): Promise<void> {
    this.#server = new GrpcServer([this.#service()], silent);
    await this.#server.listen(this.#address);
  }

  async stop(): Promise<void> {
    await this.#server?.close(1000);
    this.#server = undefined;
  }

  /** Names of all trees, in order. */
  names(): string[] {
    return [...this.trees.keys()].toSorted();
  }

  #get(key: string): Tree {
    const tree = this.trees.get(key);
    if (tree === undefined) throw notFound('snapshot', key);
    return tree;
  }

  /** As the remote snapshotters do it: the tree is committed under the layer's own name at once. */
  #make(kind: Kind, key: string, parent: string, labels: Record<string, string>): void {
    const ref = labels[REF] ?? '';
    const held = kind === Kind.ACTIVE && this.holds.has(ref);
    const name = held ? ref : key;
    if (this.trees.has(name)) throw alreadyExists('snapshot', name);
    if (parent !== '') this.#get(parent);
    this.trees.set(name, { kind: held ? Kind.COMMITTED : kind, parent, labels });
  }

  async #done(method: string, key: string): Promise<void> {
    this.asked.push(`${method} ${key}`);
    await this.answering(method, key);
  }

  #service() {
    const mounts = (key: string) => ({
      mounts: [{ type: 'bind', source: `/remote/${key}`, options: ['rbind', 'ro'] }],
    });
    return grpcService(Snapshots, {
      prepare: async ({ key, parent, labels }) => {
        this.#make(Kind.ACTIVE, key, parent, labels);
        await this.#done('prepare', key);
        if (!this.trees.has(key)) throw alreadyExists('target snapshot', labels[REF] ?? '');
        return mounts(key);
      },
      view: async ({ key, parent, labels }) => {
        this.#make(Kind.VIEW, key, parent, labels);
        await this.#done('view', key);
        return mounts(key);
      },
      mounts: ({ key }) => {
        if (this.#get(key).kind === Kind.COMMITTED) throw new HakoError('failed-precondition', `"${key}" is committed`);
        return mounts(key);
      },
      commit: async ({ name, key, labels, parent: upon }) => {
        const parent = upon === '' ? this.#get(key).parent : upon;
        if (this.trees.has(name)) throw alreadyExists('snapshot', name);
        this.#get(key);
        this.trees.delete(key);
        this.trees.set(name, { kind: Kind.COMMITTED, parent, labels });
        await this.#done('commit', name);
        return {};
      },
      remove: async ({ key }) => {
        this.#get(key);
        if ([...this.trees.values()].some(({ parent }) => parent === key))
          throw new HakoError('failed-precondition', `"${key}" has children`);
        this.trees.delete(key);
        await this.#done('remove', key);
        return {};
      },
      stat: ({ key }) => ({ info: { name: key, ...this.#get(key) } }),
      update: ({ info }) => {
        const tree = this.#get(info?.name ?? '');
        tree.labels = info?.labels ?? {};
        return { info: { name: info?.name ?? '', ...tree } };
      },
      // Filters are not honoured: clients must not rely on it.
      list: async function* (this: RemoteSnapshotter) {
        yield { info: [...this.trees].map(([name, tree]) => ({ name, ...tree })) };
      }.bind(this),
      usage: ({ key }) => {
        this.#get(key);
        return { size: 4096n, inodes: 1n };
      },
      cleanup: () => {
        throw new HakoError('unimplemented', 'nothing to clean up');
      },
    });
  }
}
