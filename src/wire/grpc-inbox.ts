import type { Http2Stream } from 'node:http2';
import { HakoError } from '#base/errors.ts';
import { FrameReader } from './grpc-frames.ts';

/** So many messages may wait for their reader before the sender is held back by the stream's window. */
const enough = 8;

/**
 * The messages that come in on a stream, in order. The sender waits while nobody reads. Reading ends with the sender's
 * end, and fails when a message is broken or the stream dies first.
 */
export class Inbox {
  readonly #stream: Http2Stream;
  readonly #frames: FrameReader;
  #queue: Uint8Array[] = [];
  #ended = false;
  #failure: Error | undefined;
  #waiting: (() => void) | undefined;

  constructor(stream: Http2Stream, limit?: number) {
    this.#stream = stream;
    this.#frames = new FrameReader(limit);
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    stream.once('end', () => {
      if (!this.#frames.whole)
        this.#failure ??= new HakoError('invalid-argument', 'the stream ended in the middle of a message');
      this.#ended = true;
      this.#wake();
    });
    // A stream may close without an end when it is reset; what came whole before stays readable.
    stream.once('close', () => {
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
        if (this.#queue.length < enough && this.#stream.isPaused()) this.#stream.resume();
        return message;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting = resolve;
      await promise;
    }
  }

  /** The only message of a stream that has to bring exactly one. */
  async only(): Promise<Uint8Array> {
    const message = await this.next();
    if (message === undefined) throw new HakoError('invalid-argument', 'the call ended without a message');
    if ((await this.next()) !== undefined)
      throw new HakoError('invalid-argument', 'the call brought more than one message');
    return message;
  }

  #take(chunk: Buffer): void {
    if (this.#failure !== undefined) return; // What follows a broken message means nothing.
    try {
      const messages = this.#frames.push(chunk);
      if (messages.length === 0) return;
      for (const message of messages) this.#queue.push(message);
      if (this.#queue.length >= enough) this.#stream.pause();
    } catch (error) {
      this.#failure = error as Error;
    }
    this.#wake();
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}

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
