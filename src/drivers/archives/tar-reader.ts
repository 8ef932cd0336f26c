import { HakoError, messageOf } from '#base/errors.ts';
import { block, checkSum, cut, numberIn, paxRecords, plainName, whole } from '#base/tar-header.ts';
import type { ArchiveEntry, ArchiveReader } from '#core/archives.ts';

/** For one PAX header or one GNU long name; Go's archive/tar has the same. */
const maxSpecial = 1024 * 1024;

const kinds: Readonly<Record<string, ArchiveEntry['kind']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '2': 'symlink',
  '5': 'directory',
};

const unexpectedEnd = (): HakoError => new HakoError('unknown', 'unexpected EOF');
const invalidHeader = (cause?: unknown): HakoError =>
  new HakoError('unknown', 'archive/tar: invalid tar header', cause);

/** What the headers before an entry say about it. */
interface Notes {
  pax: ReadonlyMap<string, string>;
  name: string | undefined;
  target: string | undefined;
}

/** Reads a tar as it comes. Of each entry only what an archive of images needs. */
export class TarReader implements ArchiveReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  /** Of the entry given last: content not yet read, and the padding after it. */
  #left = 0;
  #padding = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async next(): Promise<ArchiveEntry | undefined> {
    await this.#skip();
    const notes: Notes = { pax: new Map(), name: undefined, target: undefined };
    for (;;) {
      const header = await this.#header();
      if (header === undefined) return undefined;
      const type = String.fromCharCode(header[156]!);
      if (type === 'x') notes.pax = records(await this.#special(header));
      else if (type === 'g') await this.#special(header);
      else if (type === 'L') notes.name = cut(await this.#special(header), 0, maxSpecial);
      else if (type === 'K') notes.target = cut(await this.#special(header), 0, maxSpecial);
      else return this.#entry(header, type, notes);
    }
  }

  async *content(): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const piece = await this.#take(this.#left);
      if (piece === undefined) throw unexpectedEnd();
      this.#left -= piece.length;
      yield piece;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.return?.();
  }

  #entry(header: Buffer, type: string, { pax, name, target }: Notes): ArchiveEntry {
    try {
      const kind = kinds[type] ?? 'other';
      const said = pax.get('size');
      const size = said === undefined ? numberIn(header, 124, 12, 'a size') : whole(said, 'a size');
      if (size < 0) throw invalidHeader();
      // Links, devices and directories may state a size, and have no content.
      const data = kind === 'file' || !'123456'.includes(type) ? size : 0;
      this.#left = data;
      this.#padding = (block - (data % block)) % block;
      const path = text(pax.get('path') ?? name ?? plainName(header));
      return {
        kind: kind === 'file' && path.endsWith('/') ? 'directory' : kind,
        name: path,
        size: data,
        target: kind === 'symlink' ? text(pax.get('linkpath') ?? target ?? cut(header, 157, 100)) : '',
      };
    } catch (error) {
      throw invalidHeader(error);
    }
  }

  async #skip(): Promise<void> {
    for await (const _ of this.content());
    if (this.#padding > 0) await this.#exactly(this.#padding);
    this.#padding = 0;
  }

  /** A header, checked. Undefined at two blocks of zeros, or where the source ends cleanly. */
  async #header(): Promise<Buffer | undefined> {
    const header = await this.#exactly(block, true);
    if (header === undefined) return undefined;
    if (header.every((byte) => byte === 0)) {
      const second = await this.#exactly(block, true);
      if (second?.some((byte) => byte !== 0) === true) throw invalidHeader();
      return undefined;
    }
    try {
      checkSum(header);
    } catch (error) {
      throw invalidHeader(error);
    }
    return header;
  }

  async #special(header: Buffer): Promise<Buffer> {
    const size = numberIn(header, 124, 12, 'a size');
    if (size < 0 || size > maxSpecial) throw invalidHeader();
    const bytes = (await this.#exactly(size))!;
    await this.#exactly((block - (size % block)) % block);
    return bytes;
  }

  /** So many bytes. Where the source may end here, undefined says that it did; in the middle it may not. */
  async #exactly(length: number, mayEnd = false): Promise<Buffer | undefined> {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length;) {
      const piece = await this.#take(length - done);
      if (piece === undefined) {
        if (mayEnd && done === 0) return undefined;
        throw unexpectedEnd();
      }
      bytes.set(piece, done);
      done += piece.length;
    }
    return bytes;
  }

  async #take(length: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#chunk = next.value;
    }
    const piece = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(piece.length);
    return piece;
  }
}

function records(bytes: Buffer): ReadonlyMap<string, string> {
  try {
    return paxRecords(bytes);
  } catch (error) {
    throw new HakoError('unknown', `archive/tar: invalid tar header: ${messageOf(error)}`, error);
  }
}

/** Names in headers are bytes; people write UTF-8. */
const text = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');
