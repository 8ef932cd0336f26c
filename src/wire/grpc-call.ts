import { create, fromBinary, toBinary, type DescMessage, type Message } from '@bufbuild/protobuf';
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { HakoError } from '#base/errors.ts';
import { frameOf } from './grpc-frames.ts';
import { Inbox, send } from './grpc-inbox.ts';
import type { BoundMethod, GrpcCall } from './grpc-service.ts';
import { grpcMessageOf, grpcStatus, grpcStatusOf, parseGrpcTimeout } from './grpc-status.ts';

const replyHeaders = {
  ':status': 200,
  'content-type': 'application/grpc',
  'grpc-accept-encoding': 'identity',
} as const;

/** Node's timers overflow past this; a call that may take longer than 24 days has no deadline. */
const longestTimer = 0x7fff_ffff;

/** One call that a server answers, from its headers to its trailers. */
export class ServerCall implements GrpcCall {
  readonly headers: IncomingHttpHeaders;
  readonly #stream: ServerHttp2Stream;
  readonly #method: BoundMethod;
  readonly #controller = new AbortController();
  readonly #inbox: Inbox;
  #timer: NodeJS.Timeout | undefined;
  #answered = false;
  #lasting = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, method: BoundMethod) {
    this.#stream = stream;
    this.headers = headers;
    this.#method = method;
    this.#inbox = new Inbox(stream);
    stream.once('close', () => {
      clearTimeout(this.#timer);
      if (!this.#answered) this.abort(new HakoError('cancelled', 'the caller went away'));
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends what answers the call. The caller gets `reason` if it is still there, whether or not the handler obeys. */
  abort(reason: HakoError): void {
    this.#controller.abort(reason);
    this.#inbox.fail(reason);
    this.#refuse(reason);
  }

  begin(): void {
    if (!this.#stream.headersSent && !this.#stream.destroyed)
      this.#stream.respond(replyHeaders, { waitForTrailers: true });
  }

  lasts(): void {
    this.#lasting = true;
  }

  get lasting(): boolean {
    return this.#lasting;
  }

  /** Answers the call. Never throws; gives the error that the caller was told of, if any. */
  async run(): Promise<unknown> {
    try {
      this.#startClock();
      const { methodKind, handler } = this.#method;
      if (methodKind === 'unary') this.#finish(await handler(this.#decode(await this.#inbox.only()), this));
      else if (methodKind === 'client_streaming') this.#finish(await handler(this.#requests(), this));
      else await this.#replies();
      return undefined;
    } catch (error) {
      // Once the signal has fired, the reason tells more than whatever it made the handler throw.
      const told = this.signal.aborted ? this.signal.reason : error;
      this.#refuse(told);
      return told;
    }
  }

  #startClock(): void {
    const header = this.headers['grpc-timeout'];
    if (typeof header !== 'string') return;
    const milliseconds = parseGrpcTimeout(header);
    if (milliseconds > longestTimer) return;
    this.#timer = setTimeout(
      () => this.abort(new HakoError('deadline-exceeded', 'the call took longer than its caller allowed')),
      milliseconds,
    );
  }

  async #replies(): Promise<void> {
    const streaming = this.#method.methodKind === 'bidi_streaming';
    const request = streaming ? this.#requests() : this.#decode(await this.#inbox.only());
    for await (const reply of this.#method.handler(request, this) as AsyncIterable<unknown>) {
      this.signal.throwIfAborted();
      const payload = encode(this.#method.output, reply);
      this.begin();
      await send(this.#stream, frameOf(payload));
    }
    this.signal.throwIfAborted();
    this.#finish();
  }

  async *#requests(): AsyncGenerator<unknown> {
    for (let bytes = await this.#inbox.next(); bytes !== undefined; bytes = await this.#inbox.next())
      yield this.#decode(bytes);
  }

  #decode(bytes: Uint8Array): unknown {
    try {
      return fromBinary(this.#method.input, bytes);
    } catch (error) {
      throw new HakoError('invalid-argument', `the request is not a ${this.#method.input.typeName}`, error);
    }
  }

  /** Ends the call well, with its only reply or with none after the others. */
  #finish(reply?: unknown): void {
    const payload = reply === undefined ? undefined : encode(this.#method.output, reply);
    if (this.#answered) return;
    this.begin();
    this.#end({ 'grpc-status': String(grpcStatus.ok) }, payload);
  }

  /** Ends the call badly, once. */
  #refuse(error: unknown): void {
    if (this.#answered || this.#stream.destroyed || this.#stream.closed) {
      this.#answered = true;
      return;
    }
    const status = { 'grpc-status': String(grpcStatusOf(error)), 'grpc-message': grpcMessageOf(error) };
    if (this.#stream.headersSent) {
      this.#end(status);
      return;
    }
    this.#answered = true;
    clearTimeout(this.#timer);
    this.#stream.respond({ ...replyHeaders, ...status }, { endStream: true });
    this.#dismiss();
  }

  #end(trailers: Record<string, string>, payload?: Uint8Array): void {
    this.#answered = true;
    clearTimeout(this.#timer);
    if (this.#stream.destroyed || this.#stream.closed) return;
    this.#stream.once('wantTrailers', () => {
      this.#stream.sendTrailers(trailers);
      this.#dismiss();
    });
    if (payload === undefined) {
      this.#stream.end();
      return;
    }
    const pieces = frameOf(payload);
    for (const piece of pieces.slice(0, -1)) this.#stream.write(piece);
    this.#stream.end(pieces.at(-1));
  }

  /** A caller that goes on talking after its answer is told that nobody listens; else its stream would stay open. */
  #dismiss(): void {
    if (this.#inbox.ended) return;
    this.#stream.resume();
    setImmediate(() => {
      if (!this.#inbox.ended && !this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_NO_ERROR);
    });
  }
}

function encode(schema: DescMessage, reply: unknown): Uint8Array {
  const message =
    (reply as Partial<Message>).$typeName === schema.typeName ? (reply as Message) : create(schema, reply as never);
  return toBinary(schema, message);
}
