import type { Socket } from 'node:net';
import { HakoError } from '#base/errors.ts';

/** Types of frames (containerd/ttrpc PROTOCOL.md). */
export const frameType = { request: 1, response: 2, data: 3 } as const;

/** A request with neither of these flags is unary; we speak nothing else. */
export const streamingFlags = 1 | 2;

export interface Frame {
  readonly stream: number;
  readonly type: number;
  readonly flags: number;
  readonly data: Uint8Array;
}

const headerSize = 10;
/** The protocol's own limit for the data of one frame. */
export const longestData = 4 * 1024 * 1024;

/** A frame as bytes. resource-exhausted when the data is longer than the protocol allows. */
export function encodeFrame(frame: Frame): Buffer {
  const { data } = frame;
  if (data.length > longestData) {
    throw new HakoError(
      'resource-exhausted',
      `ttrpc message of ${data.length} bytes is longer than the ${longestData} that fit`,
    );
  }
  const bytes = Buffer.allocUnsafe(headerSize + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.writeUInt32BE(frame.stream, 4);
  bytes[8] = frame.type;
  bytes[9] = frame.flags;
  bytes.set(data, headerSize);
  return bytes;
}

/** A frame over the limit: its data is passed over, and its sender may be told. */
export interface TooLong {
  readonly stream: number;
  readonly length: number;
}

/** Cuts what a socket receives into frames. Without `tooLong` a frame over the limit ends the connection. */
export function onFrames(socket: Socket, take: (frame: Frame) => void, tooLong?: (frame: TooLong) => void): void {
  let chunks: Buffer[] = [];
  let held = 0;
  let needed = headerSize;
  /** Bytes of a frame over the limit that are still to come. */
  let passing = 0;
  socket.on('data', (received: Buffer) => {
    const passed = Math.min(passing, received.length);
    passing -= passed;
    const chunk = received.subarray(passed);
    if (chunk.length === 0) return;
    chunks.push(chunk);
    held += chunk.length;
    if (held < needed) return;
    let bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks);
    for (;;) {
      needed = headerSize;
      if (bytes.length < headerSize) break;
      const length = bytes.readUInt32BE(0);
      if (length > longestData && tooLong === undefined) {
        const message = `ttrpc frame of ${length} bytes is longer than the ${longestData} allowed`;
        socket.destroy(new HakoError('resource-exhausted', message));
        return;
      }
      if (length > longestData) {
        tooLong?.({ stream: bytes.readUInt32BE(4), length });
        const here = Math.min(bytes.length - headerSize, length);
        passing = length - here;
        bytes = bytes.subarray(headerSize + here);
        continue;
      }
      needed = headerSize + length;
      if (bytes.length < needed) break;
      take({
        stream: bytes.readUInt32BE(4),
        type: bytes[8]!,
        flags: bytes[9]!,
        data: bytes.subarray(headerSize, needed),
      });
      bytes = bytes.subarray(needed);
    }
    chunks = bytes.length === 0 ? [] : [bytes];
    held = bytes.length;
  });
}
