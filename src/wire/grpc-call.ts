import { create, fromBinary, toBinary, type DescMessage, type Message } from '@bufbuild/protobuf';
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { callersFault, HakoError } from '#base/errors.ts';
import { frameOf, prefixOf, maxMessage } from './grpc-frames.ts';
import { compress, compression } from './grpc-gzip.ts';
import type { Head } from './grpc-head.ts';
import { Inbox, send } from './grpc-inbox.ts';
import type { BoundMethod, GrpcCall } from './grpc-service.ts';
import { EncodedReply } from './repeated.ts';
import { grpcMessageOf, grpcStatus, grpcStatusOf } from './grpc-status.ts';
import { fitting, malformed } from './proto-check.ts';

/** Largest messages of a server, in bytes. */
export interface MessageLimits {
  readonly receive: number;
  readonly send: number;
}

export const defaultLimits: MessageLimits = { receive: maxMessage, send: maxMessage };

/** How deep messages may lie within each other, as in Go. */
const recursionLimit = 10_000;

/** Node's timers overflow past this; a call that may take longer than 24 days has no deadline. */
const longestTimer = 0x7fff_ffff;

/** One call that a server answers, from its headers to its trailers. */
export class ServerCall implements GrpcCall {
  readonly headers: IncomingHttpHeaders;
  readonly #stream: ServerHttp2Stream;
  readonly #head: Head;
  readonly #method: BoundMethod;
  readonly #limits: MessageLimits;
  readonly #controller = new AbortController();
  readonly #inbox: Inbox;
  #timer: NodeJS.Timeout | undefined;
  #answered = false;
  #lasting = false;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    head: Head,
    method: BoundMethod,
    limits: MessageLimits = defaultLimits,
  ) {
    this.#stream = stream;
    this.headers = headers;
    this.#head = head;
    this.#method = method;
    this.#limits = limits;
    this.#inbox = new Inbox(stream, { maxMessage: limits.receive, compressed: head.compressed });
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
      this.#stream.respond(this.#replyHeaders(), { waitForTrailers: true });
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
      if (methodKind === 'unary') await this.#finish(await handler(this.#decode(await this.#inbox.first()), this));
      else if (methodKind === 'client_streaming') await this.#finish(await handler(this.#requests(), this));
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
    const { timeout } = this.#head;
    if (timeout === undefined || timeout > longestTimer) return;
    const late = (): HakoError => new HakoError('deadline-exceeded', 'context deadline exceeded');
    if (timeout === 0) throw late();
    this.#timer = setTimeout(() => this.abort(late()), timeout);
  }

  async #replies(): Promise<void> {
    const streaming = this.#method.methodKind === 'bidi_streaming';
    const request = streaming ? this.#requests() : this.#decode(await this.#inbox.first());
    for await (const reply of this.#method.handler(request, this) as AsyncIterable<unknown>) {
      this.signal.throwIfAborted();
      const pieces = await this.#encode(reply);
      this.begin();
      await send(this.#stream, pieces);
    }
    this.signal.throwIfAborted();
    await this.#finish();
  }

  async *#requests(): AsyncGenerator<unknown> {
    for (let bytes = await this.#inbox.next(); bytes !== undefined; bytes = await this.#inbox.next())
      yield this.#decode(bytes);
  }

  #decode(bytes: Uint8Array): unknown {
    const fit = fitting(this.#method.input, bytes);
    try {
      return fromBinary(this.#method.input, fit, { readUnknownFields: false, recursionLimit });
    } catch (error) {
      if (!(error instanceof TypeError)) throw malformed();
      const message = 'grpc: error unmarshalling request: string field contains invalid UTF-8';
      throw new HakoError('internal', message, callersFault);
    }
  }

  async #encode(reply: unknown): Promise<Uint8Array[]> {
    const { compressed } = this.#head;
    if (reply instanceof EncodedReply) this.#stream.once('close', () => reply.release());
    const encoded = reply instanceof EncodedReply ? reply.pieces : [encode(this.#method.output, reply)];
    const pieces = compressed ? [await compress(Buffer.concat(encoded))] : encoded;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const { send: most } = this.#limits;
    if (length > most) {
      const message = `grpc: trying to send message larger than max (${length} vs. ${most})`;
      throw new HakoError('resource-exhausted', message);
    }
    return pieces.length === 1 ? frameOf(pieces[0]!, compressed) : [prefixOf(length, compressed), ...pieces];
  }

  /** Ends the call well, with its only reply or with none after the others. */
  async #finish(reply?: unknown): Promise<void> {
    const pieces = reply === undefined ? [] : await this.#encode(reply);
    if (this.#answered) return;
    const status = { 'grpc-status': String(grpcStatus.ok), 'grpc-message': '' };
    if (pieces.length === 0 && !this.#stream.headersSent) {
      this.#endAtOnce(status);
      return;
    }
    this.begin();
    this.#end(status, pieces);
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
    this.#endAtOnce(status);
  }

  /** What gRPC calls trailers-only. */
  #endAtOnce(status: Record<string, string>): void {
    this.#answered = true;
    clearTimeout(this.#timer);
    if (this.#stream.destroyed || this.#stream.closed) return;
    const headers = { ':status': 200, 'content-type': this.#head.contentType, ...status };
    this.#stream.respond(headers, { endStream: true });
    this.#dismiss();
  }

  #replyHeaders(): OutgoingHttpHeaders {
    const encoding = this.#head.compressed ? { 'grpc-encoding': compression } : {};
    return { ':status': 200, 'content-type': this.#head.contentType, ...encoding };
  }

  #end(trailers: Record<string, string>, pieces: readonly Uint8Array[] = []): void {
    this.#answered = true;
    clearTimeout(this.#timer);
    if (this.#stream.destroyed || this.#stream.closed) return;
    this.#stream.once('wantTrailers', () => {
      this.#stream.sendTrailers(trailers);
      this.#dismiss();
    });
    if (pieces.length === 0) {
      this.#stream.end();
      return;
    }
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
