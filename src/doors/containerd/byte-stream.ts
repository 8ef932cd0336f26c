import { setTimeout as sleep } from 'node:timers/promises';
import { HakoError } from '#base/errors.ts';
import { abortable } from '#base/locks.ts';
import { DataSchema, WindowUpdateSchema } from '#proto/gen/containerd/types/transfer/streaming_pb.ts';
import type { ObjectStream } from '#services/streaming.ts';
import { packed, typeOf, unpacked } from './any.ts';

/** How bytes go over a stream of objects, by the rules of containerd's clients: a receiver grants, a sender spends. */

/** Bytes in one object at most. */
const largestData = 32 * 1024;
/** What a receiver grants each time, as soon as less than this is left. */
const grant = 2 * largestData;
/** Bytes that are sent before we wait for the transport. */
const longestQueue = 128 * 1024;
const largestWindow = 0x7fff_ffff;
/** How long a client is given to write what it was granted last, in milliseconds. */
const lastWrite = 40;

/** Bytes from the client until it has sent all. The stream stays open. */
export async function* receiveBytes(stream: ObjectStream, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let window = 0;
  for (;;) {
    if (window < grant) {
      // A client may have sent all and gone before it reads this; what it sent counts.
      void stream.send(packed(WindowUpdateSchema, { update: grant })).catch(() => {});
      window += grant;
    }
    const object = await abortable(stream.receive(), signal);
    if (object === undefined) return;
    // Unknown objects are passed over: a later version may send more than data.
    if (typeOf(object) !== DataSchema.typeName) continue;
    const { data } = unpacked(DataSchema, object);
    window -= data.length;
    if (data.length > 0) yield data;
  }
}

/** Sends bytes as the client grants them. */
export class ByteSender {
  readonly #stream: ObjectStream;
  readonly #signal: AbortSignal;
  #window = 0;
  #granted = 0;
  #sent = 0;
  #onTheWay = 0;
  #ended = false;
  #wake = Promise.withResolvers<void>();

  constructor(stream: ObjectStream, signal: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
    void this.#listen();
  }

  async write(data: Uint8Array): Promise<void> {
    for (let rest = data; rest.length > 0;) {
      while (this.#window === 0) await this.#change('the client stopped reading');
      const piece = rest.subarray(0, Math.min(largestData, this.#window));
      this.#window -= piece.length;
      const sent = this.#stream.send(packed(DataSchema, { data: piece }));
      sent.catch(() => {});
      this.#sent += piece.length;
      rest = rest.subarray(piece.length);
      // Within its small window a client need not be waited for; one that grants much is held back by the transport.
      this.#onTheWay += piece.length;
      if (this.#onTheWay < longestQueue) continue;
      this.#onTheWay = 0;
      await sent;
    }
  }

  /**
   * Ends the stream. Waits a moment for the grants of a client that keeps up, since some clients end as soon as they hear
   * that the transfer is done, whether or not they have written what they got.
   */
  async end(patience = 1000): Promise<void> {
    const last = (Math.ceil(this.#sent / grant) + 1) * grant;
    const late = AbortSignal.timeout(patience);
    while (this.#granted < last && !this.#ended && !late.aborted) {
      await abortable(this.#wake.promise, AbortSignal.any([late, this.#signal])).catch(() => {});
      if (this.#signal.aborted) break;
    }
    // Of what one grant covers nothing more is heard: that much the client may still have to write.
    await sleep(Math.min(patience, lastWrite));
    this.#stream.close();
  }

  /** Ends the stream without waiting. */
  close(): void {
    this.#stream.close();
  }

  async #change(why: string): Promise<void> {
    if (this.#ended) throw new HakoError('cancelled', why);
    await abortable(this.#wake.promise, this.#signal);
  }

  async #listen(): Promise<void> {
    try {
      for (;;) {
        const object = await this.#stream.receive();
        if (object === undefined) break;
        if (typeOf(object) !== WindowUpdateSchema.typeName) continue;
        const { update } = unpacked(WindowUpdateSchema, object);
        if (update <= 0) continue;
        this.#granted += update;
        this.#window = Math.min(largestWindow, this.#window + update);
        this.#wake.resolve();
        this.#wake = Promise.withResolvers();
      }
    } catch {
      // The client has gone: whoever writes hears of it.
    }
    this.#ended = true;
    this.#wake.resolve();
  }
}

/** How much text may wait for a client that reads slowly; more is not sent. */
const longestLog = 1024 * 1024;

/** Sends text that nobody waits for. */
export class LogSender {
  readonly #sender: ByteSender;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(stream: ObjectStream, signal: AbortSignal) {
    this.#sender = new ByteSender(stream, signal);
  }

  write(text: string): void {
    const bytes = Buffer.from(text);
    if (this.#waiting + bytes.length > longestLog) return;
    this.#waiting += bytes.length;
    this.#last = this.#last
      .then(() => this.#sender.write(bytes))
      // A client that does not listen is no reason to stop.
      .catch(() => {})
      .finally(() => (this.#waiting -= bytes.length));
  }

  /** Ends the stream after what a client that keeps up can still take. */
  async end(patience = 1000): Promise<void> {
    await Promise.race([this.#last, sleep(patience, undefined, { ref: false })]);
    this.#sender.close();
  }
}
