import {
  create,
  fromBinary,
  toBinary,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { connect, type Socket } from 'node:net';
import { HakoError } from '#base/errors.ts';
import { RequestSchema, ResponseSchema } from '#proto/gen/ttrpc/request_pb.ts';
import { errorOfStatus } from './grpc-status.ts';
import { encodeFrame, frameType, onFrames, type Frame } from './ttrpc-frames.ts';

export interface TtrpcOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Milliseconds that the server may take; it is told, and we stop waiting. */
  readonly timeout?: number;
}

/** The methods of a service as functions; methods that stream are left out, since we do not speak them. */
export type TtrpcService<S extends DescService> = {
  readonly [K in keyof S['method'] as S['method'][K] extends { methodKind: 'unary' } ? K : never]: (
    request: MessageInitShape<S['method'][K]['input']>,
    options?: TtrpcOptions,
  ) => Promise<MessageShape<S['method'][K]['output']>>;
};

interface Waiting {
  readonly resolve: (frame: Frame) => void;
  readonly reject: (error: unknown) => void;
}

/** One connection to a ttrpc server. When it is lost every call under way fails with `unavailable`, and so do later ones. */
export class TtrpcClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;
  #closed: HakoError | undefined;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket, path: string) {
    this.#socket = socket;
    onFrames(socket, (frame) => this.#take(frame));
    let reason: unknown;
    socket.on('error', (error) => (reason = error));
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#closed = new HakoError('unavailable', `connection to "${path}" was lost`, reason);
        for (const { reject } of this.#waiting.values()) reject(this.#closed);
        this.#waiting.clear();
        resolve();
      });
    });
  }

  /** Connects to a unix socket. unavailable when nobody listens there. */
  static connect(path: string, signal?: AbortSignal): Promise<TtrpcClient> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const socket = connect(path);
      const onAbort = (): void => void socket.destroy(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      const onError = (error: unknown): void => {
        signal?.removeEventListener('abort', onAbort);
        reject(error === signal?.reason ? error : new HakoError('unavailable', `nobody answers at "${path}"`, error));
      };
      socket.once('error', onError);
      socket.once('connect', () => {
        signal?.removeEventListener('abort', onAbort);
        socket.removeListener('error', onError);
        resolve(new TtrpcClient(socket, path));
      });
    });
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** Lets the process end while the connection is open and idle. */
  unref(): void {
    this.#socket.unref();
  }

  close(): void {
    this.#socket.destroy();
  }

  service<S extends DescService>(desc: S): TtrpcService<S> {
    const client: Record<string, unknown> = {};
    for (const method of desc.methods) {
      if (method.methodKind !== 'unary') continue;
      client[method.localName] = (input: unknown, options: TtrpcOptions = {}) => this.#call(method, input, options);
    }
    return client as TtrpcService<S>;
  }

  async #call(method: DescMethod, input: unknown, options: TtrpcOptions): Promise<unknown> {
    options.signal?.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closed;
    const stream = this.#next;
    this.#next = stream >= 0x7ffffffd ? 1 : stream + 2;
    const request = create(RequestSchema, {
      service: method.parent.typeName,
      method: method.name,
      payload: toBinary(method.input, create(method.input, input as never)),
      timeoutNano: BigInt(Math.ceil((options.timeout ?? 0) * 1e6)),
      metadata: Object.entries(options.metadata ?? {}).map(([key, value]) => ({ key, value })),
    });
    const bytes = encodeFrame({ stream, type: frameType.request, flags: 0, data: toBinary(RequestSchema, request) });
    const frame = await this.#exchange(stream, bytes, options);
    const response = fromBinary(ResponseSchema, frame.data);
    if (response.status !== undefined && response.status.code !== 0)
      throw errorOfStatus(response.status.code, response.status.message);
    return fromBinary(method.output, response.payload);
  }

  /** ttrpc has no word for giving up: the answer of a call that was abandoned is dropped when it comes. */
  async #exchange(stream: number, bytes: Buffer, { signal, timeout }: TtrpcOptions): Promise<Frame> {
    const { promise, resolve, reject } = Promise.withResolvers<Frame>();
    const onAbort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(() => {
            reject(new HakoError('deadline-exceeded', `no answer within ${timeout} ms`));
          }, timeout);
    this.#waiting.set(stream, { resolve, reject });
    this.#socket.write(bytes);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      this.#waiting.delete(stream);
    }
  }

  #take(frame: Frame): void {
    const waiting = this.#waiting.get(frame.stream);
    if (waiting === undefined) return;
    if (frame.type === frameType.response) waiting.resolve(frame);
    else
      waiting.reject(
        new HakoError('unimplemented', 'the ttrpc server answered with a stream, which is not implemented'),
      );
  }
}
