import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect } from 'node:net';
import { HakoError } from '#base/errors.ts';
import { frameOf } from './grpc-frames.ts';
import { Inbox, send } from './grpc-inbox.ts';
import { sessionOptions, sessionWindow } from './grpc-session.ts';
import { decodeGrpcMessage, errorOfStatus, formatGrpcTimeout, grpcStatus } from './grpc-status.ts';

export interface CallOptions {
  /** Names in lower case. Added to the client's own. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Milliseconds that the server may take. */
  readonly timeout?: number;
}

/** The call that reaches a method, by the method's kind. */
export type Caller<M> = M extends {
  methodKind: infer Kind;
  input: infer I extends DescMessage;
  output: infer O extends DescMessage;
}
  ? Kind extends 'unary'
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : Kind extends 'server_streaming'
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncGenerator<MessageShape<O>, void>
      : Kind extends 'client_streaming'
        ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => Promise<MessageShape<O>>
        : (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => AsyncGenerator<MessageShape<O>, void>
  : never;

export type Client<S extends DescService> = { readonly [K in keyof S['method']]: Caller<S['method'][K]> };

export interface GrpcClientOptions {
  /** Milliseconds that the server may take to accept the connection and to speak HTTP/2 on it. */
  readonly connectTimeout?: number | undefined;
}

/** One connection to a gRPC server on a unix socket: made at the first call, made again when it is lost. */
export class GrpcClient {
  readonly #path: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #options: GrpcClientOptions;
  #session: ClientHttp2Session | undefined;

  /** `headers` go with every call. */
  constructor(path: string, headers: Readonly<Record<string, string>> = {}, options: GrpcClientOptions = {}) {
    this.#path = path;
    this.#headers = headers;
    this.#options = options;
  }

  /** The methods of a service as functions. They throw HakoError with the code that the server gave. */
  service<S extends DescService>(desc: S): Client<S> {
    const client: Record<string, unknown> = {};
    for (const method of desc.methods) {
      const clientStreams = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
      const serverStreams = method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming';
      client[method.localName] = (input: unknown, options: CallOptions = {}): unknown => {
        const requests = clientStreams ? (input as AsyncIterable<unknown>) : [input];
        const replies = this.#call(method, requests, options);
        return serverStreams ? replies : only(replies, method);
      };
    }
    return client as Client<S>;
  }

  /** Breaks the connection off; calls under way fail. */
  close(): void {
    this.#session?.destroy();
    this.#session = undefined;
  }

  async *#call(
    method: DescMethod,
    requests: AsyncIterable<unknown> | Iterable<unknown>,
    options: CallOptions,
  ): AsyncGenerator<Message, void> {
    const { signal } = options;
    signal?.throwIfAborted();
    const stream = this.#open(method, options);
    const end = statusOf(stream, this.#path);
    const inbox = new Inbox(stream);
    const onAbort = (): void => {
      inbox.fail(signal?.reason as Error);
      stream.close(constants.NGHTTP2_CANCEL);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const talk = talkOn(stream, method, requests);
    let failure: Error | undefined;
    try {
      for (;;) {
        const bytes = await inbox.next().catch((error: Error) => {
          failure = error;
          return undefined;
        });
        if (bytes === undefined) break;
        yield fromBinary(method.output, bytes);
      }
      signal?.throwIfAborted();
      talk.check();
      stream.close(); // The server has spoken; whatever we would still send, nobody would read.
      // When the replies broke off, the status says why; a reply that was broken itself came with a good one.
      await end;
      if (failure !== undefined) throw failure;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      end.catch(() => {});
      if (!stream.destroyed) stream.close(inbox.ended ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_CANCEL);
    }
  }

  #open(method: DescMethod, options: CallOptions): ClientHttp2Stream {
    const headers = {
      ':method': 'POST',
      ':path': `/${method.parent.typeName}/${method.name}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...(options.timeout === undefined ? {} : { 'grpc-timeout': formatGrpcTimeout(options.timeout) }),
      ...this.#headers,
      ...options.headers,
    };
    return this.#connect().request(headers, { endStream: false });
  }

  #connect(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed) return this.#session;
    const session = connectHttp2('http://localhost', {
      ...sessionOptions,
      createConnection: () => connect(this.#path),
    });
    // Calls under way tell of the failure; without a listener it would end the program.
    session.on('error', () => {});
    session.once('connect', () => {
      // It may have been closed while it was being made.
      if (!session.destroyed) session.setLocalWindowSize(sessionWindow);
    });
    this.#limitConnecting(session);
    // An idle connection does not keep a program running; a call on it does, through its own promise.
    this.#session = session;
    return session;
  }

  /** A server that hangs still has its socket, and the kernel connects to it: what counts is that it speaks. */
  #limitConnecting(session: ClientHttp2Session): void {
    const { connectTimeout } = this.#options;
    if (connectTimeout === undefined) return;
    const late = setTimeout(() => {
      session.destroy(new HakoError('deadline-exceeded', `no answer within ${connectTimeout} ms`));
    }, connectTimeout);
    session.once('remoteSettings', () => clearTimeout(late));
    session.once('close', () => clearTimeout(late));
  }
}

/** Sends the requests. A caller whose own iterable throws hears of it when the replies are over. */
function talkOn(
  stream: ClientHttp2Stream,
  method: DescMethod,
  requests: AsyncIterable<unknown> | Iterable<unknown>,
): { check(): void } {
  const talk = async (): Promise<void> => {
    try {
      for await (const request of requests) {
        const bytes = toBinary(method.input, create(method.input, request as never));
        if (!(await send(stream, frameOf(bytes)))) return;
      }
      if (!stream.destroyed && !stream.closed) stream.end();
    } catch (error) {
      stream.close(constants.NGHTTP2_CANCEL);
      throw error;
    }
  };
  let failed: { error: unknown } | undefined;
  void talk().catch((error: unknown) => {
    failed = { error };
  });
  return {
    check: () => {
      if (failed !== undefined) throw failed.error;
    },
  };
}

/** Resolves when the call ends well; rejects with what the server, or the connection, had to say. */
function statusOf(stream: ClientHttp2Stream, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let headers: IncomingHttpHeaders = {};
  let broken: Error | undefined;
  stream.once('response', (received) => {
    headers = received;
  });
  stream.once('trailers', (received) => {
    headers = { ...headers, ...received };
  });
  stream.once('error', (error: Error) => {
    broken = error;
  });
  stream.once('close', () => {
    const status = headers['grpc-status'];
    if (status === undefined) {
      const http = Number(headers[':status'] ?? 200);
      const why = http !== 200 ? `HTTP status ${http}` : (broken?.message ?? 'the connection was lost');
      reject(new HakoError('unavailable', `socket "${path}": ${why}`, broken));
      return;
    }
    const code = Number(status);
    if (code === grpcStatus.ok) resolve();
    else reject(errorOfStatus(code, decodeGrpcMessage(String(headers['grpc-message'] ?? ''))));
  });
  // Whoever waits hears of it; nobody else has to.
  promise.catch(() => {});
  return promise;
}

async function only(replies: AsyncGenerator<Message, void>, method: DescMethod): Promise<Message> {
  let first: Message | undefined;
  for await (const reply of replies) first ??= reply;
  if (first === undefined)
    throw new HakoError('internal', `${method.parent.typeName}.${method.name} was answered without a message`);
  return first;
}
