import { HakoError } from '#base/errors.ts';
import { block } from '#base/tar-header.ts';
import type { NewArchiveEntry } from '#core/archives.ts';

/** Longer names, such as those of sha512 blobs, go into a PAX header. */
const longestName = 100;
/** The largest size that eleven octal digits hold. */
const largest = 0o77777777777;

/** Writes a tar of POSIX.1-1988: every date is 1970, every owner root, so that equal images make equal archives. */
export async function* tarOf(entries: Iterable<NewArchiveEntry>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    yield* headers(entry);
    let count = 0;
    if (entry.content !== undefined) {
      for await (const piece of entry.content()) {
        signal.throwIfAborted();
        count += piece.length;
        if (count > entry.size) break;
        yield piece;
      }
    }
    if (count !== entry.size) throw new HakoError('unknown', `unexpected copy size for ${entry.name}`);
    const padding = (block - (entry.size % block)) % block;
    if (padding > 0) yield Buffer.alloc(padding);
  }
  yield Buffer.alloc(2 * block);
}

function* headers(entry: NewArchiveEntry): Generator<Buffer> {
  if (Buffer.byteLength(entry.name) > longestName) {
    const record = paxRecord('path', entry.name);
    yield header({ name: 'PaxHeaders.0', mode: 0, size: record.length }, 'x');
    yield record;
    const padding = (block - (record.length % block)) % block;
    if (padding > 0) yield Buffer.alloc(padding);
  }
  yield header(entry, entry.kind === 'file' ? '0' : '5');
}

/** A record is its own length in decimal, a blank, key=value and a newline; the length counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (rest + String(length).length > length) length += 1;
  return Buffer.from(`${length} ${key}=${value}\n`);
}

function header({ name, mode, size }: Pick<NewArchiveEntry, 'name' | 'mode' | 'size'>, type: string): Buffer {
  const bytes = Buffer.alloc(block);
  Buffer.from(name).copy(bytes, 0, 0, longestName);
  octal(bytes, 100, 8, mode);
  octal(bytes, 108, 8, 0);
  octal(bytes, 116, 8, 0);
  number(bytes, 124, 12, size);
  octal(bytes, 136, 12, 0);
  bytes.write(type, 156);
  // A size that octal cannot say is GNU's, and so is the whole header then.
  bytes.write(size > largest ? 'ustar  \0' : 'ustar\u000000', 257, 'latin1');
  octal(bytes, 329, 8, 0);
  octal(bytes, 337, 8, 0);
  // The sum is taken with its own field as blanks.
  bytes.fill(' ', 148, 156);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

const octal = (bytes: Buffer, at: number, width: number, value: number): number =>
  bytes.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');

function number(bytes: Buffer, at: number, width: number, value: number): void {
  if (value <= largest) octal(bytes, at, width, value);
  else {
    bytes.writeBigUInt64BE(BigInt(value), at + width - 8);
    bytes[at] = 0x80;
  }
}
