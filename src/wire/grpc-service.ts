import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { IncomingHttpHeaders } from 'node:http2';
import type { EncodedReply } from './repeated.ts';

/** What a method may know about the call that it answers. */
export interface GrpcCall {
  /** Ends with the caller, its deadline or the server; not with the reply. */
  readonly signal: AbortSignal;
  /** The call's metadata, names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** Tells a streaming caller that its call has begun, before there is a first message. */
  begin(): void;
  /** Says that the call waits for what may never come, so that a closing server ends it without waiting. */
  lasts(): void;
}

type Reply<O extends DescMessage> = MessageInitShape<O> | EncodedReply;
type Awaitable<T> = T | Promise<T>;

/** The function that answers a method, by the method's kind. */
export type Handler<M> = M extends {
  methodKind: infer Kind;
  input: infer I extends DescMessage;
  output: infer O extends DescMessage;
}
  ? Kind extends 'unary'
    ? (request: MessageShape<I>, call: GrpcCall) => Awaitable<Reply<O>>
    : Kind extends 'server_streaming'
      ? (request: MessageShape<I>, call: GrpcCall) => AsyncIterable<Reply<O>>
      : Kind extends 'client_streaming'
        ? (requests: AsyncIterable<MessageShape<I>>, call: GrpcCall) => Promise<Reply<O>>
        : (requests: AsyncIterable<MessageShape<I>>, call: GrpcCall) => AsyncIterable<Reply<O>>
  : never;

/** One answer for every method, so that a method added to a .proto file does not compile until it has one. */
export type Methods<S extends DescService> = { readonly [K in keyof S['method']]: Handler<S['method'][K]> };

/** A service with its answers, as a server takes it. */
export interface GrpcService {
  readonly desc: DescService;
  readonly handlers: ReadonlyMap<string, BoundMethod>;
}

export type BoundMethod = DescMethod & { readonly handler: (request: unknown, call: GrpcCall) => unknown };

/** Binds a service's description to what answers it. */
export function grpcService<S extends DescService>(desc: S, methods: Methods<S>): GrpcService {
  const handlers = new Map<string, BoundMethod>();
  for (const method of desc.methods) {
    const handler = (methods as Record<string, BoundMethod['handler']>)[method.localName];
    if (handler === undefined) throw new TypeError(`${desc.typeName}.${method.name} has no handler`);
    handlers.set(method.name, { ...method, handler });
  }
  return { desc, handlers };
}
