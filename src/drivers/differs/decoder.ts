import zlib from 'node:zlib';
import { compressionOf as recognise, type Compression } from '#base/compression.ts';
import { HakoError, invalid } from '#base/errors.ts';

export type { Compression } from '#base/compression.ts';

/** Tells the compression of a layer by its first bytes; media types are often wrong. */
export function compressionOf(head: Uint8Array): Compression {
  const starts = (...bytes: number[]): boolean =>
    head.length >= bytes.length && bytes.every((byte, place) => head[place] === byte);
  if (starts(0x42, 0x5a, 0x68)) throw invalid('compressed with bzip2, which layers may not be: gzip, zstd or none');
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a))
    throw invalid('compressed with xz, which layers may not be: gzip, zstd or none');
  return recognise(head);
}

/**
 * What node:zlib's streams are made of. There is no public way to inflate a stream synchronously into memory of one's
 * own; `decoder.test.ts` pins what is used here, so a Node that changes it fails there and not in the field.
 */
interface ZlibHandle {
  onerror: (message: string, number: number, code: string) => void;
  writeSync(
    flush: number,
    input: Uint8Array | null,
    at: number,
    length: number,
    out: Uint8Array,
    outAt: number,
    outLength: number,
  ): void;
  close(): void;
}
interface ZlibStream {
  _handle: ZlibHandle;
  _writeState: Uint32Array;
  close(): void;
}

export interface Step {
  /** Bytes of the input taken, and of the output given. */
  readonly read: number;
  readonly wrote: number;
}

const nothing = new Uint8Array(0);

/** Inflates step by step into memory of the caller's. Throws invalid-argument on what is not well compressed. */
export class Decoder {
  readonly #stream: ZlibStream;
  readonly #finish: number;
  #error: string | undefined;

  constructor(compression: 'gzip' | 'zstd') {
    const stream = compression === 'gzip' ? zlib.createGunzip() : zlib.createZstdDecompress();
    this.#stream = stream as unknown as ZlibStream;
    this.#finish = compression === 'gzip' ? zlib.constants.Z_FINISH : zlib.constants.ZSTD_e_end;
    this.#stream._handle.onerror = (message) => {
      this.#error ??= message;
    };
  }

  /** One step. When `wrote` fills the room, more may be waiting inside: call again, with no input if there is none. */
  step(input: Uint8Array, out: Uint8Array): Step {
    return this.#write(0, input, out);
  }

  /** Says that no input is left. Throws when the stream is not complete. */
  finish(out: Uint8Array): Step {
    return this.#write(this.#finish, nothing, out);
  }

  #write(flush: number, input: Uint8Array, out: Uint8Array): Step {
    this.#stream._handle.writeSync(flush, input, 0, input.length, out, 0, out.length);
    if (this.#error !== undefined) throw new HakoError('invalid-argument', this.#error);
    const [roomLeft = 0, inputLeft = 0] = this.#stream._writeState;
    return { read: input.length - inputLeft, wrote: out.length - roomLeft };
  }

  close(): void {
    this.#stream.close();
  }
}
