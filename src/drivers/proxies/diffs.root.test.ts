import { after, before } from 'node:test';
import type { Blob } from '#core/content.ts';
import type { Differ } from '#core/differs.ts';
import { differDiffSuite } from '#core/suites/differ-diff.ts';
import { differSuite, type DifferUnderTest } from '#core/suites/differ.ts';
import { Content, WriteAction } from '#proto/gen/containerd/services/content/v1/content_pb.ts';
import { Leases } from '#proto/gen/containerd/services/leases/v1/leases_pb.ts';
import { GrpcClient, type Client } from '#wire/grpc-client.ts';
import { openHarbour, type Harbour } from '../../../test/support/daemon.ts';
import { DiffProxy } from './diffs.ts';

const never = new AbortController().signal;
// Nothing else holds what the other daemon is given: its collector would take it.
const scope = { namespace: 'suite', lease: 'suite' };
const undo = new AsyncDisposableStack();
let harbour: Harbour;
let content: Client<typeof Content>;
before(async () => {
  harbour = await openHarbour(undo);
  const headers = { 'containerd-namespace': scope.namespace, 'containerd-lease': scope.lease };
  const client = undo.adopt(new GrpcClient(harbour.daemon.address, headers), (it) => it.close());
  await client.service(Leases).create({ id: scope.lease });
  content = client.service(Content);
});
after(() => undo.disposeAsync());

/** The differ of another daemon, whose content store is where the layers are: as our own would be to a real proxy. */
async function open(): Promise<DifferUnderTest> {
  const proxy = new DiffProxy({ name: 'far', address: harbour.daemon.address });
  const differ: Differ = {
    apply: async (layer, blob, mounts, signal, options) => {
      signal.throwIfAborted();
      await upload(blob);
      return proxy.apply(layer, blob, mounts, signal, { ...options, scope });
    },
    diff: (left, right, sink, signal, options) => proxy.diff(left, right, sink, signal, { ...options, scope }),
  };
  return {
    differ,
    stored: async ({ digest }) => {
      const parts: Uint8Array[] = [];
      for await (const { data } of content.read({ digest })) parts.push(data);
      return Buffer.concat(parts);
    },
    [Symbol.asyncDispose]: async () => proxy.close(),
  };
}

async function upload(blob: Blob): Promise<void> {
  const data = await blob.read(0, blob.size, never);
  const { digest } = blob;
  const pieces = async function* (): AsyncGenerator<object> {
    for (let at = 0; at < data.length; at += 1_000_000)
      yield { action: WriteAction.WRITE, ref: digest, offset: BigInt(at), data: data.slice(at, at + 1_000_000) };
    yield {
      action: WriteAction.COMMIT,
      ref: digest,
      offset: BigInt(data.length),
      total: BigInt(data.length),
      expected: digest,
    };
  };
  try {
    await Array.fromAsync(content.write(pieces()));
  } catch (error) {
    if ((error as { code?: string }).code !== 'already-exists') throw error;
  }
}

differSuite('DiffProxy before another daemon', open, { remote: true });
differDiffSuite('DiffProxy before another daemon', open);
