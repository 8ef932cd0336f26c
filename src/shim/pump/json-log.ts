import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import type { OffsetFile } from '#sys/splice.ts';

/** Docker cuts lines longer than this into records without a newline. */
export const longestPiece = 16 * 1024;

/** Where the log stands in the offset file: which of two copies is true, and the copies. See `commit`. */
export const logSlots = { which: 16, first: 17, second: 20 } as const;

const newline = 0x0a;

/**
 * The end of the piece that starts at `from`: after its newline, or after 16 KiB of it, but never within a character.
 * -1 when the piece is not whole yet.
 */
export function pieceEnd(bytes: Uint8Array, from: number): number {
  const at = bytes.indexOf(newline, from);
  const end = at === -1 ? bytes.length : at + 1;
  if (end - from <= longestPiece) return at === -1 ? -1 : end;
  let cut = from + longestPiece;
  // Bytes 10xxxxxx continue a character; four steps back are enough for any.
  for (let steps = 0; steps < 4 && (bytes[cut]! & 0xc0) === 0x80; steps += 1) cut -= 1;
  return cut;
}

/** One record in Docker's json-file format, with its newline. */
export function record(piece: Uint8Array, stream: string, time: string): string {
  const text = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString('utf8');
  return `{"log":${JSON.stringify(text)},"stream":"${stream}","time":"${time}"}\n`;
}

/** Stands for newlines while all lines are quoted at once: JSON leaves it as it is, and text has no use for it. */
const marker = '\u0080';

/** The records of all whole pieces, one after the other, and where the rest begins. */
export function records(bytes: Buffer, stream: string, time: string): { readonly text: string; readonly rest: number } {
  const lines = bytes.lastIndexOf(newline) + 1;
  if (bytes.length - lines <= longestPiece && hasShortLines(bytes, lines)) {
    const text = bytes.toString('utf8', 0, lines).replaceAll('\n', marker);
    // One call for all lines takes a tenth of the time of one for each, and containers are as slow as their logs.
    if (lines === 0 || !bytes.includes(marker)) return { text: recordsOfLines(text, stream, time), rest: lines };
  }
  let text = '';
  let from = 0;
  for (let to = pieceEnd(bytes, 0); to !== -1; to = pieceEnd(bytes, from)) {
    text += record(bytes.subarray(from, to), stream, time);
    from = to;
  }
  return { text, rest: from };
}

/** Whether none of the whole lines, which end before `end`, has to be cut. */
function hasShortLines(bytes: Buffer, end: number): boolean {
  for (let from = 0; end - from > longestPiece;) {
    const next = bytes.lastIndexOf(newline, from + longestPiece - 1) + 1;
    if (next <= from) return false;
    from = next;
  }
  return true;
}

/** `text` has markers for newlines, the last of them at its end. */
function recordsOfLines(text: string, stream: string, time: string): string {
  if (text === '') return '';
  const end = `\\n","stream":"${stream}","time":"${time}"}\n`;
  const quoted = JSON.stringify(text.slice(0, -1)).slice(1, -1);
  return `{"log":"${quoted.replaceAll(marker, `${end}{"log":"`)}${end}`;
}

/** Now, as Docker writes it, to the microsecond. */
export function timestamp(): string {
  const micros = Math.round((performance.timeOrigin + performance.now()) * 1000);
  const whole = new Date(Math.floor(micros / 1000)).toISOString().slice(0, -1);
  return `${whole}${String(micros % 1000).padStart(3, '0')}Z`;
}

/**
 * The log of a container, written from its spool. Its length and the spool offsets that it covers are committed
 * together: both are written to the copy that is not in use, and one 8-byte store then makes it the true one. After a
 * kill the log is cut back to the committed length, so that no record is doubled, lost or torn.
 */
export class JsonLog {
  readonly #fd: number;
  readonly #offsets: OffsetFile;
  #size: number;
  /** Spool bytes that have been formatted, by stream. */
  readonly covered: [number, number];

  constructor(path: string, offsets: OffsetFile) {
    this.#offsets = offsets;
    this.#fd = openSync(path, 'a', 0o640);
    const base = offsets.get(logSlots.which) === 1 ? logSlots.second : logSlots.first;
    const size = fstatSync(this.#fd).size;
    const committed = offsets.get(base);
    const known = offsets.get(logSlots.which) !== 0 || committed !== 0;
    this.covered = [offsets.get(base + 1), offsets.get(base + 2)];
    this.#size = known ? Math.min(size, committed) : size;
    if (this.#size < size) ftruncateSync(this.#fd, this.#size);
    this.#commit();
  }

  /** Appends whole records that cover the stream's spool up to `covered`. Throws, with the log as before, when the disk is full. */
  append(records: string, stream: 0 | 1, covered: number): void {
    const bytes = Buffer.from(records);
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      ftruncateSync(this.#fd, this.#size);
      throw error;
    }
    this.#size += bytes.length;
    this.covered[stream] = covered;
    this.#commit();
  }

  #commit(): void {
    const other = this.#offsets.get(logSlots.which) === 1 ? 0 : 1;
    const base = other === 1 ? logSlots.second : logSlots.first;
    this.#offsets.set(base, this.#size);
    this.#offsets.set(base + 1, this.covered[0]);
    this.#offsets.set(base + 2, this.covered[1]);
    this.#offsets.set(logSlots.which, other);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
