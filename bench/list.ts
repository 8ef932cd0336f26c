import { create, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { readFileSync } from 'node:fs';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { ListContainersRequestSchema, Containers } from '#proto/gen/containerd/services/containers/v1/containers_pb.ts';
import { ListImagesRequestSchema, Images } from '#proto/gen/containerd/services/images/v1/images_pb.ts';
import { ListRequestSchema as ListLeasesSchema, Leases } from '#proto/gen/containerd/services/leases/v1/leases_pb.ts';
import { ListSnapshotsRequestSchema, Snapshots } from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';
import { GrpcClient, type CallOptions } from '#wire/grpc-client.ts';
import { startDaemon } from '../scripts/lib/daemon.mjs';
import { inTurn, type Benchmark, type Result, type Side } from './harness.ts';
import { startPeer } from './peer.ts';
import { temporaryDirectory } from './support.ts';

const count = 10_000;
const headers = { 'containerd-namespace': 'default' };
const blue = ['labels.colour==blue'];

/** Lists, as they are timed: the whole of it, and one in a hundred by a label. */
const lists = {
  containers: list('containerd.services.containers.v1.Containers', ListContainersRequestSchema, { filters: blue }),
  images: list('containerd.services.images.v1.Images', ListImagesRequestSchema, { filters: blue }),
  leases: list('containerd.services.leases.v1.Leases', ListLeasesSchema, { filters: blue }),
  snapshots: list('containerd.services.snapshots.v1.Snapshots', ListSnapshotsRequestSchema, {
    snapshotter: 'overlayfs',
    filters: blue,
  }),
};

function list<S extends DescMessage>(service: string, schema: S, filtered: MessageInitShape<S>): Lists {
  const { filters: _, ...whole } = filtered as Record<string, unknown>;
  return {
    path: `/${service}/List`,
    whole: toBinary(schema, create(schema, whole as never)),
    filtered: toBinary(schema, create(schema, filtered as never)),
  };
}

interface Lists {
  readonly path: string;
  readonly whole: Uint8Array;
  readonly filtered: Uint8Array;
}

/** How long lists take where a namespace has ten thousand of everything. The answers are not decoded: only the server counts. */
export const listing: Benchmark = {
  name: 'list',
  about: `List of ${count} containers, images, leases and snapshots, whole and filtered by a label`,
  async run({ rounds, peer }, undo) {
    const dir = temporaryDirectory(undo);
    const daemon = undo.adopt(await startDaemon({ dir: join(dir, 'd') }), async (one) => void (await one.end()));
    const reference = await startPeer(join(dir, 'peer'), peer, undo);
    const sockets = { hakod: daemon.address, [reference.name]: reference.address };
    for (const socket of Object.values(sockets)) await fill(socket);
    const sessions = Object.entries(sockets).map(([name, socket]) => ({
      name,
      session: undo.adopt(open(socket), close),
    }));
    const results: Result[] = [];
    for (const [kind, { path, whole, filtered }] of Object.entries(lists)) {
      for (const [how, request] of Object.entries({ whole, filtered })) {
        const sides: Side[] = sessions.map(({ name, session }) => ({ name, run: () => time(session, path, request) }));
        const name = `list-${kind}-${how}`;
        const samples = await inTurn(sides, rounds);
        results.push({ name, about: `${count} ${kind}, ${how}`, ours: 'hakod', samples, facts: {} });
      }
    }
    const memory = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))?.[1] ?? '0';
    results[0] = { ...results[0]!, facts: { 'memory of hakod': `${Math.round(Number(memory) / 1024)} MB` } };
    return results;
  },
};

/** Ten thousand of each kind; one in a hundred is blue. Snapshots lie on one another in hundreds of short stacks. */
async function fill(socket: string): Promise<void> {
  const client = new GrpcClient(socket, headers);
  const [containers, images] = [client.service(Containers), client.service(Images)];
  const [leases, snapshots] = [client.service(Leases), client.service(Snapshots)];
  const spec = { typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/Spec', value: Buffer.from('{}') };
  const digest = `sha256:${'0'.repeat(64)}`;
  const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 1000n };
  const options: CallOptions = {};
  const one = async (at: number): Promise<void> => {
    const id = `thing-${at}`;
    const labels = { colour: at % 100 === 0 ? 'blue' : 'red', 'containerd.io/gc.root': '2026-01-01' };
    await leases.create({ id, labels }, options);
    await images.create({ image: { name: `example.com/${id}:latest`, labels, target } }, options);
    await snapshots.prepare({ snapshotter: 'overlayfs', key: id, labels }, options);
    const runtime = { name: 'io.containerd.runc.v2' };
    await containers.create({ container: { id, labels, runtime, spec, image: `example.com/${id}:latest` } }, options);
  };
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: 32 }, work));
  client.close();
}

function open(socket: string): ClientHttp2Session {
  const settings = { initialWindowSize: 16 * 1024 * 1024 };
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socket), settings });
  session.once('connect', () => session.setLocalWindowSize(16 * 1024 * 1024));
  return session;
}

const close = (session: ClientHttp2Session): void => session.destroy();

/** One call, from the request to the trailers, in milliseconds. */
function time(session: ClientHttp2Session, path: string, request: Uint8Array): Promise<number> {
  const frame = Buffer.alloc(5 + request.length);
  frame.writeUInt32BE(request.length, 1);
  frame.set(request, 5);
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    stream.once('trailers', (trailers) => {
      if (trailers['grpc-status'] === '0') resolve(performance.now() - began);
      else reject(new Error(`${path}: ${String(trailers['grpc-message'])}`));
    });
    stream.once('error', reject);
    stream.resume();
    stream.end(frame);
  });
}
