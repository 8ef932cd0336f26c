import { invalid } from '#base/errors.ts';
import { block, checkSum, cut, moment, numberIn, paxRecords, plainName, whole, xattrsOf } from '#base/tar-header.ts';
import { textOf, type Moment } from '#sys/at.ts';

/**
 * Reads tar: ustar, PAX (POSIX.1-2001) and GNU's long names and large numbers. Names are byte strings (see sys/at.ts).
 * Anything that is no tar, ends early or is larger than the limits is invalid-argument.
 */

export interface Entry {
  readonly type: EntryType;
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow. */
  readonly size: number;
  readonly mtime: Moment;
  readonly atime: Moment | undefined;
  readonly major: number;
  readonly minor: number;
  /** Extended attributes by name, the value as a byte string. */
  readonly xattrs: ReadonlyMap<string, string>;
  /** Where the content belongs in a file with holes; absent for an ordinary one. */
  readonly sparse?: SparseMap;
}

export interface SparseMap {
  readonly realSize: number;
  readonly pieces: readonly { readonly offset: number; readonly length: number }[];
}

export type EntryType = 'file' | 'link' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

const types: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  S: 'file',
};

/** For one PAX header or one GNU long name; Go's archive/tar has the same. */
const maxSpecial = 1024 * 1024;
const maxPieces = 65_536;

/** Where the bytes come from. */
export interface TarSource {
  /** At most `length` bytes that are at hand, valid until the next call; undefined at the end. */
  take(length: number): Buffer | undefined;
}

/** Reads `length` bytes whole. Throws when the source ends before. */
function exactly(source: TarSource, length: number, what: string): Buffer {
  const whole = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const piece = source.take(length - done);
    if (piece === undefined) throw invalid(`the archive ends in the middle of ${what}`);
    piece.copy(whole, done);
    done += piece.length;
  }
  return whole;
}

export class TarReader {
  readonly #source: TarSource;
  /** Of the entry given last: content not yet read, and the padding after it. */
  #left = 0;
  #padding = 0;

  constructor(source: TarSource) {
    this.#source = source;
  }

  /** The next entry, undefined at the end. Content that was not read is passed over. */
  next(): Entry | undefined {
    this.#skip();
    let pax = new Map<string, string>();
    let longName: string | undefined;
    let longLink: string | undefined;
    for (;;) {
      const header = this.#header();
      if (header === undefined) {
        if (pax.size > 0 || longName !== undefined || longLink !== undefined)
          throw invalid('the archive ends after a header that describes a next one');
        return undefined;
      }
      const type = String.fromCharCode(header[156]!);
      if (type === 'x') pax = paxRecords(this.#special(header, 'a PAX header'));
      // Global records are comments in practice (git archive); containerd passes them over too.
      else if (type === 'g') this.#special(header, 'a global PAX header');
      else if (type === 'L') longName = cut(this.#special(header, 'a long name'), 0, maxSpecial);
      else if (type === 'K') longLink = cut(this.#special(header, 'a long link name'), 0, maxSpecial);
      else return this.#entry(header, type, pax, longName, longLink);
    }
  }

  /** Content of the entry given last; undefined when there is no more. Valid until the next call. */
  content(): Buffer | undefined {
    if (this.#left === 0) return undefined;
    const piece = this.#source.take(this.#left);
    if (piece === undefined) throw invalid('the archive ends in the middle of a file');
    this.#left -= piece.length;
    return piece;
  }

  #skip(): void {
    while (this.content() !== undefined);
    if (this.#padding > 0) exactly(this.#source, this.#padding, 'a file');
    this.#padding = 0;
  }

  /** A header, checked. Undefined at two blocks of zeros, or where the source ends cleanly. */
  #header(): Buffer | undefined {
    const header = this.#source.take(block);
    if (header === undefined) return undefined;
    if (header.length < block) throw invalid('the archive ends in the middle of a header');
    if (header[0] === 0 && header.every((byte) => byte === 0)) {
      const second = this.#source.take(block);
      if (second !== undefined && second.some((byte) => byte !== 0))
        throw invalid('a lone block of zeros is where a header should be');
      return undefined;
    }
    checkSum(header);
    return header;
  }

  #special(header: Buffer, what: string): Buffer {
    const size = numberIn(header, 124, 12, `the size of ${what}`);
    if (size < 0 || size > maxSpecial)
      throw invalid(`${what} of ${size} bytes is larger than the limit of ${maxSpecial}`);
    const bytes = exactly(this.#source, size, what);
    const padding = (block - (size % block)) % block;
    if (padding > 0) exactly(this.#source, padding, what);
    return bytes;
  }

  #entry(
    header: Buffer,
    letter: string,
    pax: Map<string, string>,
    longName: string | undefined,
    longLink: string | undefined,
  ): Entry {
    const name = pax.get('path') ?? longName ?? plainName(header);
    const shown = textOf(name.slice(0, 256));
    let type = types[letter];
    if (type === undefined) throw invalid(`"${shown}" has type "${letter}", which layers may not have`);
    // Before POSIX a directory was a file whose name ends so.
    if (letter === '\0' && name.endsWith('/')) type = 'directory';
    const text = (key: string): string | undefined => pax.get(key) || undefined;
    const field = (key: string, at: number, length: number): number => {
      const value = text(key);
      return value === undefined
        ? numberIn(header, at, length, `the ${key} of "${shown}"`)
        : whole(value, `the ${key} of "${shown}"`);
    };
    const stored = field('size', 124, 12);
    if (stored < 0) throw invalid(`the size of "${shown}" is negative`);
    // Only files have content; some tars give the size of what a hard link points at.
    this.#left = type === 'file' ? stored : 0;
    this.#padding = (block - (this.#left % block)) % block;
    const mtime = text('mtime');
    const atime = text('atime');
    const base = {
      type,
      name,
      size: this.#left,
      linkName: pax.get('linkpath') ?? longLink ?? cut(header, 157, 100),
      mode: numberIn(header, 100, 8, `the mode of "${shown}"`) & 0o7777,
      uid: field('uid', 108, 8),
      gid: field('gid', 116, 8),
      mtime:
        mtime === undefined
          ? { seconds: Math.max(0, numberIn(header, 136, 12, `the mtime of "${shown}"`)), nanoseconds: 0 }
          : moment(mtime, `the mtime of "${shown}"`),
      atime: atime === undefined ? undefined : moment(atime, `the atime of "${shown}"`),
      major: type === 'character' || type === 'block' ? numberIn(header, 329, 8, `the device of "${shown}"`) : 0,
      minor: type === 'character' || type === 'block' ? numberIn(header, 337, 8, `the device of "${shown}"`) : 0,
      xattrs: xattrsOf(pax),
    };
    return this.#sparse(base, letter, header, pax);
  }

  /** GNU's formats for files with holes: the old one, and PAX 0.0, 0.1 and 1.0. */
  #sparse(base: Entry, letter: string, header: Buffer, pax: Map<string, string>): Entry {
    const name = pax.get('GNU.sparse.name') ?? base.name;
    const shown = textOf(name.slice(0, 256));
    const size = pax.get('GNU.sparse.realsize') ?? pax.get('GNU.sparse.size');
    let numbers: number[] | undefined;
    let realSize = size === undefined ? 0 : whole(size, `the size of "${shown}"`);
    if (letter === 'S') {
      realSize = numberIn(header, 483, 12, `the size of "${shown}"`);
      numbers = this.#oldMap(header);
    } else if (pax.get('GNU.sparse.major') === '1') numbers = this.#mapInContent();
    else if (pax.has('GNU.sparse.map'))
      numbers = pax
        .get('GNU.sparse.map')!
        .split(',')
        .map((text) => whole(text, 'a sparse map'));
    if (numbers === undefined) return base;
    const pieces = Array.from({ length: Math.floor(numbers.length / 2) }, (_, n) => ({
      offset: numbers[2 * n]!,
      length: numbers[2 * n + 1]!,
    }));
    let end = 0;
    let sum = 0;
    for (const piece of pieces) {
      if (piece.offset < end || piece.offset + piece.length > realSize)
        throw invalid(`the sparse map of "${shown}" is not in order`);
      end = piece.offset + piece.length;
      sum += piece.length;
    }
    if (sum !== this.#left || numbers.length % 2 !== 0)
      throw invalid(`the sparse map of "${shown}" does not fit its content`);
    return { ...base, name, sparse: { realSize, pieces } };
  }

  #oldMap(header: Buffer): number[] {
    const numbers: number[] = [];
    const read = (bytes: Buffer, at: number, count: number): void => {
      for (let n = 0; n < count && bytes[at + n * 24] !== 0; n++) {
        numbers.push(
          numberIn(bytes, at + n * 24, 12, 'a sparse map'),
          numberIn(bytes, at + n * 24 + 12, 12, 'a sparse map'),
        );
      }
    };
    read(header, 386, 4);
    for (let more = header[482] !== 0; more;) {
      const extension = exactly(this.#source, block, 'a sparse map');
      read(extension, 0, 21);
      if (numbers.length > 2 * maxPieces) throw invalid(`a sparse map has more than ${maxPieces} pieces`);
      more = extension[504] !== 0;
    }
    return numbers;
  }

  /** Format 1.0 keeps its map in front of the content, as decimal lines padded to whole blocks. */
  #mapInContent(): number[] {
    let text = '';
    const numbers: number[] = [];
    const line = (): number => {
      for (;;) {
        const end = text.indexOf('\n');
        if (end >= 0) {
          const number = whole(text.slice(0, end), 'a sparse map');
          text = text.slice(end + 1);
          return number;
        }
        if (this.#left < block || text.length > 32) throw invalid('a sparse map is malformed');
        text += exactly(this.#source, block, 'a sparse map').toString('latin1');
        this.#left -= block;
      }
    };
    const count = line();
    if (count > maxPieces) throw invalid(`a sparse map has more than ${maxPieces} pieces`);
    for (let n = 0; n < 2 * count; n++) numbers.push(line());
    return numbers;
  }
}
