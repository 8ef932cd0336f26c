import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { HakoError } from '#base/errors.ts';
import { Task as TaskV2 } from '#proto/gen/containerd/task/v2/task_pb.ts';
import { Task as TaskV3 } from '#proto/gen/containerd/task/v3/task_pb.ts';
import { TtrpcClient, type TtrpcService } from '#wire/ttrpc-client.ts';
import { processType } from './spec/spec-json.ts';

export interface ShimPlace {
  /** The daemon's socket: where shims listen follows from it. */
  readonly daemon: string;
  readonly namespace: string;
  readonly id?: string | undefined;
  /** The shim's own socket, when it is known. */
  readonly address?: string | undefined;
}

export type ShimVersion = 2 | 3;

/** Where a shim of that id may listen: containerd's ways, old ones too, and that of our one shim for all. */
export function shimSockets({ daemon, namespace, id = '', address = '' }: ShimPlace): string[] {
  const sockets = address === '' ? [] : [address.replace(/^(ttrpc\+)?unix:\/\//, '')];
  if (id === '') return sockets;
  return [
    ...sockets,
    containerdSocket(join(daemon, namespace, id)),
    `\0/containerd-shim/${namespace}/${id}/shim.sock`,
    join(dirname(daemon), 'shim', 'shim.sock'),
  ];
}

/** The socket for Go's profiles of a containerd shim that was started to be debugged. */
export const shimDebugSocket = ({ daemon, namespace, id = '' }: ShimPlace): string =>
  containerdSocket(join(daemon, namespace, id, 'debug'));

const containerdSocket = (name: string): string =>
  `/run/containerd/s/${createHash('sha256').update(name).digest('hex')}`;

/** The state of a process, as a shim tells it. */
export interface ShimState {
  readonly id: string;
  readonly bundle: string;
  readonly pid: number;
  readonly status: number;
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
  readonly exitStatus: number;
  readonly exitedAt?: { readonly seconds: bigint; readonly nanos: number } | undefined;
  readonly execId: string;
}

export interface ShimExec {
  readonly id: string;
  readonly execId: string;
  /** The process of the runtime spec, as JSON. */
  readonly spec: Uint8Array;
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

/** A shim, spoken to without a daemon between. */
export class Shim implements Disposable {
  readonly #client: TtrpcClient;
  readonly #options: { readonly metadata: Readonly<Record<string, string>> };

  private constructor(client: TtrpcClient, namespace: string) {
    this.#client = client;
    this.#options = { metadata: { 'containerd-namespace-ttrpc': namespace } };
  }

  /** Connects to the first socket where someone answers. */
  static async connect(place: ShimPlace): Promise<Shim> {
    const sockets = shimSockets(place);
    for (const socket of sockets) {
      const client = await TtrpcClient.connect(socket).catch(() => undefined);
      if (client !== undefined) return new Shim(client, place.namespace);
    }
    const shown = sockets.map((socket) => socket.replace('\0', '@')).join(', ');
    throw new HakoError('unavailable', `fail to connect to container shim: nobody answers at ${shown}`);
  }

  /** Calls that both versions of the API have alike. */
  #tasks(version: ShimVersion): TtrpcService<typeof TaskV3> {
    return version === 3
      ? this.#client.service(TaskV3)
      : (this.#client.service(TaskV2) as unknown as TtrpcService<typeof TaskV3>);
  }

  state(id: string, version: ShimVersion): Promise<ShimState> {
    return this.#tasks(version).state({ id }, this.#options);
  }

  async start(id: string, execId = ''): Promise<number> {
    return (await this.#tasks(3).start({ id, execId }, this.#options)).pid;
  }

  async delete(id: string): Promise<number> {
    return (await this.#tasks(3).delete({ id }, this.#options)).exitStatus;
  }

  async exec({ spec, ...request }: ShimExec): Promise<void> {
    await this.#tasks(3).exec({ ...request, spec: { typeUrl: processType, value: spec } }, this.#options);
  }

  async resize(id: string, execId: string, size: { readonly w: number; readonly h: number }): Promise<void> {
    await this.#tasks(3).resizePty({ id, execId, width: size.w, height: size.h }, this.#options);
  }

  async shutdown(id: string, version: ShimVersion): Promise<void> {
    await this.#tasks(version).shutdown({ id }, this.#options);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
