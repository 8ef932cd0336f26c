import { HakoError } from '#base/errors.ts';

/**
 * Docker's stream multiplexing: without a terminal, stdout and stderr share one connection as frames of an eight byte
 * header (stream id, three zero bytes, big-endian length) and a payload. `systemerr` carries an error of the server
 * itself. Source: Engine API, "Stream format" of `POST /containers/{id}/attach`.
 */
export const streamNames = ['stdin', 'stdout', 'stderr', 'systemerr'] as const;
export type StreamName = (typeof streamNames)[number];

const headerLength = 8;

/** The header of a frame of `length` bytes. */
export function frameHeader(stream: StreamName, length: number): Uint8Array {
  const header = new Uint8Array(headerLength);
  header[0] = streamNames.indexOf(stream);
  new DataView(header.buffer).setUint32(4, length);
  return header;
}

/** Header and payload in one piece: one write a frame. */
export function frame(stream: StreamName, data: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(headerLength + data.length);
  bytes.set(frameHeader(stream, data.length), 0);
  bytes.set(data, headerLength);
  return bytes;
}

export interface StreamPart {
  readonly stream: StreamName;
  readonly data: Uint8Array;
}

/**
 * Takes a multiplexed stream apart however it was cut on its way. A payload is handed out as it comes, not when it is
 * complete, so a frame's claimed length reserves no memory.
 */
export class StreamDecoder {
  readonly #header = new Uint8Array(headerLength);
  #headerFill = 0;
  #stream: StreamName = 'stdout';
  #left = 0;

  decode(chunk: Uint8Array): StreamPart[] {
    const parts: StreamPart[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const data = chunk.subarray(at, at + this.#left);
        parts.push({ stream: this.#stream, data });
        this.#left -= data.length;
        at += data.length;
      } else {
        at += this.#takeHeader(chunk, at);
      }
    }
    return parts;
  }

  /** Call at the end of the stream: one that ends inside a frame was cut off. */
  finish(): void {
    if (this.#left > 0 || this.#headerFill > 0) {
      throw new HakoError('data-loss', 'the stream ended in the middle of a frame: the connection was cut');
    }
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const piece = chunk.subarray(at, at + headerLength - this.#headerFill);
    this.#header.set(piece, this.#headerFill);
    this.#headerFill += piece.length;
    if (this.#headerFill < headerLength) return piece.length;

    this.#headerFill = 0;
    const stream = streamNames[this.#header[0] ?? 0];
    if (stream === undefined || this.#header[1] !== 0 || this.#header[2] !== 0 || this.#header[3] !== 0) {
      throw new HakoError('data-loss', `the stream is not multiplexed: found the frame header ${hex(this.#header)}`);
    }
    this.#stream = stream;
    this.#left = new DataView(this.#header.buffer).getUint32(4);
    return piece.length;
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
