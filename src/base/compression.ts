export type Compression = 'gzip' | 'zstd' | 'none';

/** How many first bytes are enough to tell. */
export const compressionHead = 10;

/** Tells the compression of a stream by its first bytes. What is neither gzip nor zstd is taken as it is. */
export function compressionOf(head: Uint8Array): Compression {
  const starts = (...bytes: number[]): boolean =>
    head.length >= bytes.length && bytes.every((byte, place) => head[place] === byte);
  if (starts(0x1f, 0x8b, 0x08)) return 'gzip';
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  // RFC 8878, 3.1.2: a skippable frame may come first.
  const skippable = head.length >= 4 && (head[0]! & 0xf0) === 0x50;
  return skippable && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18 ? 'zstd' : 'none';
}
