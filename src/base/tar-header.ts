import { invalid } from './errors.ts';

/** The fields of tar headers and the records of PAX headers. What is malformed is invalid-argument. */

/** Everything in tar comes in blocks of this size. */
export const block = 512;

export const cut = (bytes: Buffer, at: number, length: number): string => {
  const field = bytes.toString('latin1', at, at + length);
  const end = field.indexOf('\0');
  return end < 0 ? field : field.slice(0, end);
};

/** An octal number, or GNU's base 256 where the first bit is set. */
export function numberIn(header: Buffer, at: number, length: number, what: string): number {
  const first = header[at]!;
  if ((first & 0x80) !== 0) {
    let value = BigInt(first & 0x40 ? first | ~0xff : first & 0x3f);
    for (let place = 1; place < length; place++) value = (value << 8n) | BigInt(header[at + place]!);
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw invalid(`${what} is out of range`);
    return number;
  }
  const text = header
    .toString('latin1', at, at + length)
    .replaceAll(/^[ \0]+|[ \0]+$/g, '')
    .replace(/[ \0].*$/s, '');
  if (text === '') return 0;
  if (!/^[0-7]+$/.test(text)) throw invalid(`${what} is no octal number`);
  return Number.parseInt(text, 8);
}

export function checkSum(header: Buffer): void {
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < block; at++) {
    const byte = at >= 148 && at < 156 ? 0x20 : header[at]!;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const text = header
    .toString('latin1', 148, 156)
    .replace(/^[ \0]+/, '')
    .replace(/[ \0].*$/s, '');
  const stored = /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : -1;
  // Some old tars summed signed bytes.
  if (stored !== unsigned && stored !== signed)
    throw invalid('the checksum of a header is wrong: this is no tar archive, or a damaged one');
}

/** The records of a PAX header: `LENGTH KEY=VALUE\n`, the length counting itself. */
export function paxRecords(bytes: Buffer): Map<string, string> {
  const text = bytes.toString('latin1');
  const records = new Map<string, string>();
  for (let at = 0; at < text.length;) {
    const space = text.indexOf(' ', at);
    const digits = text.slice(at, space);
    const length = Number(digits);
    const equals = text.indexOf('=', space);
    if (
      space < 0 ||
      !/^[0-9]{1,7}$/.test(digits) ||
      equals < 0 ||
      equals >= at + length ||
      text[at + length - 1] !== '\n'
    ) {
      throw invalid('a PAX header is malformed');
    }
    const key = text.slice(space + 1, equals);
    const value = text.slice(equals + 1, at + length - 1);
    if (key === '') throw invalid('a PAX header has a record without a name');
    // GNU's first sparse format repeats its keys; together they are one list.
    const list = key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes';
    records.set(
      list ? 'GNU.sparse.map' : key,
      list && records.has('GNU.sparse.map') ? `${records.get('GNU.sparse.map')},${value}` : value,
    );
    at += length;
  }
  return records;
}

export function whole(text: string, what: string): number {
  const number = Number(text);
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(number))
    throw invalid(`${what} "${text.slice(0, 40)}" is no number we can use`);
  return number;
}

/** PAX times are decimal seconds with any number of digits after the point. */
export function moment(text: string, what: string): { seconds: number; nanoseconds: number } {
  const matched = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(text);
  if (matched === null) throw invalid(`${what} "${text.slice(0, 40)}" is no time`);
  const [, minus, seconds = '0', fraction = ''] = matched;
  // As containerd and Docker do: a time before 1970 is 1970.
  if (minus === '-') return { seconds: 0, nanoseconds: 0 };
  return { seconds: Number(seconds), nanoseconds: Number(fraction.slice(0, 9).padEnd(9, '0')) };
}

/** The name in the header itself. POSIX continues it in a prefix, where GNU keeps other things. */
export function plainName(header: Buffer): string {
  const name = cut(header, 0, 100);
  if (header.toString('latin1', 257, 263) !== 'ustar\0') return name;
  const star = header.toString('latin1', 508, 512) === 'tar\0';
  const prefix = cut(header, 345, star ? 131 : 155);
  return prefix === '' ? name : `${prefix}/${name}`;
}

export function xattrsOf(pax: ReadonlyMap<string, string>): Map<string, string> {
  const xattrs = new Map<string, string>();
  for (const [key, value] of pax) {
    if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice('SCHILY.xattr.'.length), value);
  }
  return xattrs;
}
