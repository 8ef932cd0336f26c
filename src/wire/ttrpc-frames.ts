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

/** Cuts what a socket receives into frames. A frame over the limit ends the connection: what follows it cannot be found. */
export function onFrames(socket: Socket, take: (frame: Frame) => void): void {
  let chunks: Buffer[] = [];
  let held = 0;
  let needed = headerSize;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    held += chunk.length;
    if (held < needed) return;
    let bytes = chunks.length === 1 ? chunk : Buffer.concat(chunks);
    for (;;) {
      needed = headerSize;
      if (bytes.length < headerSize) break;
      const length = bytes.readUInt32BE(0);
      if (length > longestData) {
        socket.destroy(
          new HakoError(
            'resource-exhausted',
            `ttrpc frame of ${length} bytes is longer than the ${longestData} allowed`,
          ),
        );
        return;
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
