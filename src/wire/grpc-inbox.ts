import type { Http2Stream } from 'node:http2';
import { callersFault, HakoError } from '#base/errors.ts';
import { FrameReader, maxMessage, type FrameLimits, type Received } from './grpc-frames.ts';
import { decompress } from './grpc-gzip.ts';

/** So many messages may wait for their reader before the sender is held back by the stream's window. */
const enough = 8;
/** The same in bytes. */
const enoughBytes = 4 * 1024 * 1024;

/**
 * Bytes of messages in this process that are begun and not whole. Each may be as long as messages get, on every stream of
 * every connection: past the limit, a long one is refused that would wait for more.
 */
let halfway = 0;
const mostHalfway = 512 * 1024 * 1024;
/** Short ones are always taken. */
const shortHalf = 64 * 1024;

/**
 * The messages that come in on a stream, in order. The sender waits while nobody reads. Reading ends with the sender's
 * end, and fails when a message is broken or the stream dies first.
 */
export class Inbox {
  readonly #stream: Http2Stream;
  readonly #frames: FrameReader;
  readonly #limit: number;
  #queue: Received[] = [];
  #queued = 0;
  /** How much of `halfway` is ours. */
  #halfway = 0;
  #ended = false;
  #failure: Error | undefined;
  #waiting: (() => void) | undefined;

  constructor(stream: Http2Stream, limits: Partial<FrameLimits> = {}) {
    this.#stream = stream;
    this.#frames = new FrameReader(limits);
    this.#limit = limits.maxMessage ?? maxMessage;
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    stream.once('end', () => {
      const { held } = this.#frames;
      if (held > 0) this.#failure ??= endOfFile(held < 5 ? 'EOF' : 'unexpected EOF');
      this.#ended = true;
      this.#wake();
    });
    // A stream may close without an end when it is reset; what came whole before stays readable.
    stream.once('close', () => {
      this.#account(0);
      if (!this.#ended) this.fail(new HakoError('cancelled', 'the stream was closed by the other side'));
    });
  }

  /** True when the sender has said all. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Ends reading with an error, unless it has ended already. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  /** The next message, undefined at the end. One reader at a time. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const message = this.#queue.shift();
      if (message !== undefined) {
        this.#queued -= message.payload.length;
        if (!this.#full && this.#stream.isPaused()) this.#stream.resume();
        return message.compressed ? await decompress(message.payload, this.#limit) : message.payload;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting = resolve;
      await promise;
    }
  }

  /** The message of a stream that brings one. Like Go's servers it does not wait for the end, nor mind what comes before it. */
  async first(): Promise<Uint8Array> {
    const message = await this.next();
    if (message === undefined) throw endOfFile('EOF');
    return message;
  }

  #take(chunk: Buffer): void {
    if (this.#failure !== undefined) return; // What follows a broken message means nothing.
    try {
      const messages = this.#frames.push(chunk);
      this.#account(this.#frames.held);
      if (messages.length === 0) return;
      for (const message of messages) this.#queue.push(message);
      for (const { payload } of messages) this.#queued += payload.length;
      if (this.#full) this.#stream.pause();
    } catch (error) {
      this.#failure = error as Error;
      this.#account(0);
      this.#frames.forget();
    }
    this.#wake();
  }

  get #full(): boolean {
    return this.#queue.length >= enough || this.#queued >= enoughBytes;
  }

  #account(held: number): void {
    if (held > this.#halfway && held > shortHalf && halfway + held - this.#halfway > mostHalfway)
      throw new HakoError('resource-exhausted', 'too many long messages are on their way at once: try again later');
    halfway += held - this.#halfway;
    this.#halfway = held;
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}

/** Go's servers have no other code for it. */
const endOfFile = (message: string): HakoError => new HakoError('unknown', message, callersFault);

/** Writes the pieces of one message and waits until more is welcome. False when the stream is gone. */
export async function send(stream: Http2Stream, pieces: readonly Uint8Array[]): Promise<boolean> {
  if (stream.destroyed || stream.closed) return false;
  let welcome = true;
  if (pieces.length > 1) stream.cork();
  for (const piece of pieces) welcome = stream.write(piece);
  if (pieces.length > 1) stream.uncork();
  if (welcome) return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const onDrain = (): void => resolve(true);
  const onClose = (): void => resolve(false);
  stream.once('drain', onDrain);
  stream.once('close', onClose);
  try {
    return await promise;
  } finally {
    stream.off('drain', onDrain);
    stream.off('close', onClose);
  }
}
