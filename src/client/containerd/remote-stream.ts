import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { randomBytes } from 'node:crypto';
import { HakoError } from '#base/errors.ts';
import { Streaming, StreamInitSchema } from '#proto/gen/containerd/services/streaming/v1/streaming_pb.ts';
import { DataSchema, WindowUpdateSchema } from '#proto/gen/containerd/types/transfer/streaming_pb.ts';
import type { Containerd } from '../containerd.ts';

type Wrapped = { typeUrl: string; value: Uint8Array };

/** A message as it travels on a stream and in a transfer: under its bare type name. */
export const wrap = <S extends DescMessage>(schema: S, message: MessageInitShape<S>): Wrapped => ({
  typeUrl: schema.typeName,
  value: toBinary(schema, create(schema, message as never)),
});

/** Whether that is what is wrapped, with or without a host before its name. */
export const holds = (any: Any, schema: DescMessage): boolean =>
  any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1) === schema.typeName;

/** A stream of containerd's streaming service: opened by us, found by the daemon under its id. */
export class RemoteStream implements Disposable {
  readonly id: string;
  readonly #replies: AsyncGenerator<Any, void>;
  readonly #stop = new AbortController();
  readonly #outgoing: Wrapped[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  /** `purpose` begins the id, for who reads the daemon's log. */
  static async open(door: Containerd, purpose: string): Promise<RemoteStream> {
    const stream = new RemoteStream(door, `${purpose}-${randomBytes(9).toString('base64url')}`);
    stream.send(wrap(StreamInitSchema, { id: stream.id }));
    // The daemon's first message says that it knows the id from now on.
    const { done } = await stream.#replies.next();
    if (done === true) throw new HakoError('unavailable', `the daemon closed stream "${stream.id}" at once`);
    return stream;
  }

  private constructor(door: Containerd, id: string) {
    this.id = id;
    this.#replies = door.service(Streaming).stream(this.#requests(), { signal: this.#stop.signal });
  }

  send(message: Wrapped): void {
    this.#outgoing.push(message);
    this.#wake?.();
  }

  /** Says that nothing more comes from us. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  /** What the daemon sends, until it or we end the stream. */
  receive(): AsyncGenerator<Any, void> {
    return this.#replies;
  }

  /** Breaks the stream off, whatever is under way. */
  [Symbol.dispose](): void {
    this.close();
    this.#stop.abort();
  }

  async *#requests(): AsyncGenerator<Wrapped> {
    for (;;) {
      const next = this.#outgoing.shift();
      if (next !== undefined) yield next;
      else if (this.#closed) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** How many bytes we let the daemon send before we have read them. */
const ownWindow = 1024 * 1024;

/** The bytes that the daemon sends, at the pace at which they are taken. */
export async function* receiveBytes(stream: RemoteStream): AsyncGenerator<Uint8Array> {
  let window = 0;
  const widen = (): void => {
    if (window >= ownWindow / 2) return;
    stream.send(wrap(WindowUpdateSchema, { update: ownWindow }));
    window += ownWindow;
  };
  widen();
  for await (const any of stream.receive()) {
    if (!holds(any, DataSchema)) continue;
    const { data } = fromBinary(DataSchema, any.value);
    window -= data.length;
    yield data;
    widen();
  }
  stream.close();
}

/** containerd's own piece: it reads no faster with larger ones. */
const largestPiece = 32 * 1024;

/** Sends bytes to the daemon at the pace that it allows, and then ends our side of the stream. */
export async function sendBytes(stream: RemoteStream, data: AsyncIterable<Uint8Array>): Promise<void> {
  const updates = stream.receive();
  let window = 0;
  for await (const chunk of data) {
    for (let at = 0; at < chunk.length;) {
      while (window <= 0) {
        const { value, done } = await updates.next();
        // The daemon has heard enough: what it makes of that, the transfer tells.
        if (done === true) return;
        if (value !== undefined && holds(value, WindowUpdateSchema))
          window += fromBinary(WindowUpdateSchema, value.value).update;
      }
      const piece = chunk.subarray(at, at + Math.min(window, largestPiece));
      stream.send(wrap(DataSchema, { data: piece }));
      window -= piece.length;
      at += piece.length;
    }
  }
  stream.close();
}
