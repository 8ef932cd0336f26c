import {
  create,
  fromBinary,
  toBinary,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { HakoError, invalid, messageOf, unimplemented } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { RequestSchema, ResponseSchema, type Request } from '#proto/gen/ttrpc/request_pb.ts';
import { grpcStatus, grpcStatusOf } from './grpc-status.ts';
import { fitting } from './proto-check.ts';
import { encodeFrame, frameType, longestData, onFrames, streamingFlags, type Frame } from './ttrpc-frames.ts';

/** What a method may know about the call that it answers. */
export interface TtrpcCall {
  readonly metadata: ReadonlyMap<string, string>;
  /** Ends with the connection, the call's deadline or the server. */
  readonly signal: AbortSignal;
}

type Awaitable<T> = T | Promise<T>;

/** One answer for every method of a service. */
export type TtrpcMethods<S extends DescService> = {
  readonly [K in keyof S['method']]: (
    request: MessageShape<S['method'][K]['input']>,
    call: TtrpcCall,
  ) => Awaitable<MessageInitShape<S['method'][K]['output']>>;
};

/** Bytes of answers that a client may leave unread, about. */
const MOST_UNREAD = 8 * 1024 * 1024;

type Handler = (request: unknown, call: TtrpcCall) => unknown;

/** Serves unary ttrpc on any number of connections. Streams are refused with `unimplemented`. */
export class TtrpcServer {
  readonly #methods = new Map<string, { desc: DescMethod; handler: Handler }>();
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #logger: Logger;
  readonly #ended = new AbortController();
  /** Told how many connections there are, whenever that changes. */
  onConnections: (count: number) => void = () => {};

  constructor(logger: Logger) {
    this.#logger = logger;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  add<S extends DescService>(desc: S, methods: TtrpcMethods<S>): void {
    for (const method of desc.methods) {
      const handler = (methods as Record<string, Handler>)[method.localName];
      if (handler === undefined) throw new TypeError(`${desc.typeName}.${method.name} has no handler`);
      this.#methods.set(`${desc.typeName}/${method.name}`, { desc: method, handler });
    }
  }

  /** Listens at a path, or on a descriptor that listens already. */
  listen(where: ListenOptions & { fd?: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(where, () => {
        this.#server.removeListener('error', reject);
        resolve();
      });
    });
  }

  /** Breaks every connection off. */
  close(): void {
    this.#ended.abort(new HakoError('unavailable', 'the server ends'));
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    const gone = new AbortController();
    this.#sockets.add(socket);
    this.onConnections(this.#sockets.size);
    socket.on('error', (error) => this.#logger.log('debug', 'ttrpc connection failed', { error: error.message }));
    socket.on('close', () => {
      gone.abort(new HakoError('cancelled', 'the client left'));
      this.#sockets.delete(socket);
      this.onConnections(this.#sockets.size);
    });
    onFrames(
      socket,
      (frame) => void this.#take(socket, frame, gone.signal),
      ({ stream, length }) => {
        const message = `message length ${length} exceed maximum message size of ${longestData}`;
        this.#send(socket, responseFrame(stream, grpcStatus.resourceExhausted, message, new Uint8Array()));
      },
    );
  }

  /** A client that asks on without reading the answers is not read from until it does. */
  #send(socket: Socket, bytes: Buffer): void {
    if (socket.destroyed) return;
    socket.write(bytes);
    if (socket.writableLength <= MOST_UNREAD || socket.isPaused()) return;
    socket.pause();
    socket.once('drain', () => socket.resume());
  }

  async #take(socket: Socket, frame: Frame, gone: AbortSignal): Promise<void> {
    // Data of a stream that was refused already; and types that the protocol may get one day are passed over.
    if (frame.type !== frameType.request) return;
    const { code, message, payload } = await this.#answer(frame, gone).catch((error: unknown) => ({
      code: grpcStatusOf(error),
      message: messageOf(error),
      payload: new Uint8Array(),
    }));
    this.#send(socket, responseFrame(frame.stream, code, message, payload));
  }

  async #answer(frame: Frame, gone: AbortSignal): Promise<{ code: number; message: string; payload: Uint8Array }> {
    if (frame.stream % 2 === 0) throw invalid('StreamID must be odd for client initiated streams');
    if ((frame.flags & streamingFlags) !== 0) throw unimplemented('streaming over ttrpc');
    const request = decode(frame);
    const method = this.#methods.get(`${request.service}/${request.method}`);
    if (method === undefined) throw unimplemented(`/${request.service}/${request.method}`);
    const signals = [gone, this.#ended.signal];
    if (request.timeoutNano > 0n)
      signals.push(AbortSignal.timeout(Math.min(Number(request.timeoutNano / 1_000_000n) + 1, 0x7fffffff)));
    const call: TtrpcCall = {
      metadata: new Map(request.metadata.map(({ key, value }) => [key, value])),
      signal: AbortSignal.any(signals),
    };
    const input = decodePayload(method.desc, request);
    const output = await method.handler(input, call);
    return { code: 0, message: '', payload: toBinary(method.desc.output, create(method.desc.output, output as never)) };
  }
}

function decode(frame: Frame): Request {
  try {
    return fromBinary(RequestSchema, frame.data);
  } catch (error) {
    throw new HakoError('invalid-argument', 'ttrpc request is not a valid message', error);
  }
}

function decodePayload(method: DescMethod, { payload }: Request): unknown {
  try {
    return fromBinary(method.input, fitting(method.input, payload), { readUnknownFields: false });
  } catch (error) {
    throw invalid(`the request is not a ${method.input.typeName}`, error);
  }
}

function responseFrame(stream: number, code: number, message: string, payload: Uint8Array): Buffer {
  const encode = (response: Parameters<typeof create<typeof ResponseSchema>>[1]): Buffer =>
    encodeFrame({
      stream,
      type: frameType.response,
      flags: 0,
      data: toBinary(ResponseSchema, create(ResponseSchema, response)),
    });
  try {
    return encode(code === 0 ? { payload } : { status: { code, message } });
  } catch (error) {
    return encode({ status: { code: grpcStatusOf(error), message: messageOf(error) } });
  }
}
