import type { MessageInitShape } from '@bufbuild/protobuf';
import { EmptySchema, type Any as AnyMessage, type AnySchema } from '@bufbuild/protobuf/wkt';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { Call } from '#base/call.ts';
import { abortable } from '#base/locks.ts';
import type { Any } from '#core/any.ts';
import {
  StreamInitSchema,
  Streaming as StreamingApi,
} from '#proto/gen/containerd/services/streaming/v1/streaming_pb.ts';
import type { ObjectStream, Streaming } from '#services/streaming.ts';
import { grpcService, type GrpcCall, type GrpcService } from '#wire/grpc-service.ts';
import { packed, unpacked } from './any.ts';
import { callOf } from './call.ts';
import { fromAny, toAny } from './convert.ts';

export const streamingService = (streaming: Streaming): GrpcService =>
  grpcService(StreamingApi, { stream: (requests, call) => serve(streaming, requests, call) });

/** The first object names the stream; our empty one says that others may name it now. */
async function* serve(
  streaming: Streaming,
  requests: AsyncIterable<AnyMessage>,
  grpc: GrpcCall,
): AsyncGenerator<MessageInitShape<typeof AnySchema>> {
  grpc.lasts();
  const call = scopeOf(grpc);
  const objects = requests[Symbol.asyncIterator]();
  const first = await objects.next();
  if (first.done === true) throw new HakoError('unknown', 'EOF');
  const { id } = unpacked(StreamInitSchema, fromAny(first.value));
  const stream = new ServedStream(objects, grpc.signal);
  try {
    using _registered = register(streaming, call, id, stream);
    yield toAny(packed(EmptySchema, {}));
    yield* stream.outgoing();
  } finally {
    stream.gone();
  }
}

/** Of all calls, this one may come without a namespace; other calls will not find its stream. */
const scopeOf = (grpc: GrpcCall): Call =>
  (grpc.headers['containerd-namespace'] ?? '') === '' ? { namespace: '', signal: grpc.signal } : callOf(grpc);

/** containerd forgets to say with the right code that an id is taken; clients know no other. */
function register(streaming: Streaming, call: Call, id: string, stream: ObjectStream): Disposable {
  try {
    return streaming.register(call, id, stream);
  } catch (error) {
    throw new HakoError('unknown', messageOf(error), error);
  }
}

interface Outgoing {
  readonly object: Any;
  readonly sent: PromiseWithResolvers<void>;
}

/** Our end of a client's stream: what others send leaves through the generator that answers the call. */
class ServedStream implements ObjectStream {
  readonly #incoming: AsyncIterator<AnyMessage>;
  readonly #signal: AbortSignal;
  readonly #queue: Outgoing[] = [];
  #closed = false;
  #wake = Promise.withResolvers<void>();

  constructor(incoming: AsyncIterator<AnyMessage>, signal: AbortSignal) {
    this.#incoming = incoming;
    this.#signal = signal;
  }

  send(object: Any): Promise<void> {
    if (this.#closed) return Promise.reject(ended());
    const sent = Promise.withResolvers<void>();
    this.#queue.push({ object, sent });
    this.#wake.resolve();
    return sent.promise;
  }

  async receive(): Promise<Any | undefined> {
    const next = await this.#incoming.next();
    return next.done === true ? undefined : fromAny(next.value);
  }

  close(): void {
    this.#closed = true;
    this.#wake.resolve();
  }

  /** What was sent, as it is sent; ends when the stream is closed. */
  async *outgoing(): AsyncGenerator<AnyMessage> {
    for (;;) {
      for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
        yield toAny(next.object);
        this.#queue.shift();
        next.sent.resolve();
      }
      if (this.#closed) return;
      try {
        await abortable(this.#wake.promise, this.#signal);
      } catch (error) {
        // A client that has gone, or has said that it goes, is how most streams end.
        if (codeOf(error) === 'cancelled') return;
        throw error;
      }
      this.#wake = Promise.withResolvers();
    }
  }

  /** Whoever still sends is told that nobody listens. */
  gone(): void {
    this.#closed = true;
    for (const { sent } of this.#queue.splice(0)) sent.reject(ended());
  }
}

const ended = (): HakoError => new HakoError('unavailable', 'the stream has ended');
