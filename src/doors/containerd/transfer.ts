import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, HakoError } from '#base/errors.ts';
import {
  Transfer as TransferApi,
  type TransferRequest,
} from '#proto/gen/containerd/services/transfer/v1/transfer_pb.ts';
import { ProgressSchema } from '#proto/gen/containerd/types/transfer/progress_pb.ts';
import type { ObjectStream, Streaming } from '#services/streaming.ts';
import type { TransferProgress } from '#services/transfer/ends.ts';
import type { Transfers } from '#services/transfer/transfers.ts';
import { grpcService, type GrpcCall, type GrpcService } from '#wire/grpc-service.ts';
import { packed } from './any.ts';
import { callOf } from './call.ts';
import { toDescriptor } from './convert.ts';
import { readEnd } from './transfer-ends.ts';

/**
 * How long a client may read what it was told before it hears that all is done, in milliseconds: containerd's clients stop
 * reading progress then, in the middle of whatever they were about to show.
 */
const lastWords = 10;

/** What a request that leaves an end out has in its place. */
const nothing = { typeUrl: '', value: new Uint8Array() };

export const transferService = (transfers: Transfers, streaming: Streaming): GrpcService =>
  grpcService(TransferApi, {
    transfer: async (request, call) => {
      await transfer(transfers, streaming, request, call);
      return {};
    },
  });

async function transfer(
  transfers: Transfers,
  streaming: Streaming,
  request: TransferRequest,
  grpc: GrpcCall,
): Promise<void> {
  grpc.lasts();
  const call = callOf(grpc);
  const id = request.options?.progressStream ?? '';
  await using progress = new ProgressTeller(id === '' ? undefined : streaming.get(call, id));
  const { source = nothing, destination = nothing } = request;
  try {
    await using from = readEnd(source, call, streaming);
    await using to = readEnd(destination, call, streaming);
    await transfers.transfer(call, from.end, to.end, (event) => progress.tell(event));
    await to.finish?.();
  } catch (error) {
    if (codeOf(error) !== 'unimplemented') throw error;
    // Whatever could not be done, containerd names the two ends only.
    const ends = `${source.typeUrl} to ${destination.typeUrl}`;
    throw new HakoError('unimplemented', `method Transfer not implemented for ${ends}`, error);
  }
}

/** Events on a stream, in their order. A client that does not listen is no reason to stop. */
class ProgressTeller implements AsyncDisposable {
  readonly #stream: ObjectStream | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(stream: ObjectStream | undefined) {
    this.#stream = stream;
  }

  tell({ event, name = '', parents = [], progress = 0, total = 0, target }: TransferProgress): void {
    if (this.#stream === undefined) return;
    const object = packed(ProgressSchema, {
      event,
      name,
      parents: [...parents],
      progress: BigInt(progress),
      total: BigInt(total),
      ...(target !== undefined && { desc: toDescriptor(target) }),
    });
    this.#last = this.#stream.send(object).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stream === undefined) return;
    await this.#last;
    this.#stream.close();
    await sleep(lastWords);
  }
}
