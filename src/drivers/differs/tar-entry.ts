import { block } from '#base/tar-header.ts';

/**
 * Writes the headers of tar entries: ustar, with a PAX header before it where a value does not fit. The bytes are those
 * that Go's archive/tar writes, so that equal trees give equal layers whoever packs them.
 */

export interface EntryHead {
  /** A byte string (see sys/at.ts), as all names here; that of a directory ends with a slash. */
  readonly name: string;
  /** The type letter of ustar. */
  readonly type: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow. */
  readonly size: number;
  /** Whole seconds. */
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
  /** Extended attributes by name, the value as a byte string. */
  readonly xattrs: ReadonlyMap<string, string>;
}

const nameSize = 100;
const prefixSize = 155;

const isPlain = (text: string): boolean => /^[\x01-\x7f]*$/.test(text);
const plainOnly = (text: string): string => text.replaceAll(/[^\x01-\x7f]/g, '');

/** Zeros up to the next block after so many bytes. */
export const paddingAfter = (size: number): number => (block - (size % block)) % block;

/** What ends an archive. */
export const archiveEnd = (): Buffer => Buffer.alloc(2 * block);

/** The header of an entry, with the PAX header it needs. */
export function entryHeader(head: EntryHead): Buffer {
  const records = paxRecordsOf(head);
  const main = mainHeader(head, plainOnly(head.name));
  return records === '' ? main : Buffer.concat([paxHeader(head.name, records), main]);
}

/**
 * The header of an empty file of nobody's that stands for a deletion. A name that is too long is split at a slash where
 * ustar can.
 */
export function whiteoutHeader(name: string): Buffer {
  const none = { linkName: '', mode: 0, uid: 0, gid: 0, size: 0, mtime: 0, major: 0, minor: 0, xattrs: new Map() };
  const split = splitName(name);
  if (split === undefined) return entryHeader({ ...none, name, type: '0' });
  return mainHeader({ ...none, name, type: '0' }, split.name, split.prefix);
}

/** The two parts of a long name that ustar has fields for; undefined when it does not fit, or needs no split. */
function splitName(name: string): { prefix: string; name: string } | undefined {
  if (name.length <= nameSize || !isPlain(name)) return undefined;
  const slash = name.slice(0, Math.min(name.length - 1, prefixSize + 1)).lastIndexOf('/');
  const rest = name.length - slash - 1;
  return slash <= 0 || slash > prefixSize || rest > nameSize || rest === 0
    ? undefined
    : { prefix: name.slice(0, slash), name: name.slice(slash + 1) };
}

function mainHeader(head: EntryHead, name: string, prefix = ''): Buffer {
  const header = Buffer.alloc(block);
  text(header, 0, nameSize, name);
  octal(header, 100, 8, head.mode);
  octal(header, 108, 8, head.uid);
  octal(header, 116, 8, head.gid);
  octal(header, 124, 12, head.size);
  octal(header, 136, 12, head.mtime);
  header.write(head.type, 156, 'latin1');
  text(header, 157, nameSize, plainOnly(head.linkName));
  header.write('ustar\x0000', 257, 'latin1');
  octal(header, 329, 8, head.major);
  octal(header, 337, 8, head.minor);
  text(header, 345, prefixSize, prefix);
  return summed(header);
}

function paxHeader(name: string, records: string): Buffer {
  const content = Buffer.from(records, 'latin1');
  const header = Buffer.alloc(block);
  const trimmed = name.replace(/\/+$/, '');
  const slash = trimmed.lastIndexOf('/');
  // A directory's name ends with a slash, after which there is nothing to follow the word.
  const place = name.endsWith('/')
    ? `${trimmed}/PaxHeaders.0`
    : `${name.slice(0, slash + 1)}PaxHeaders.0/${name.slice(slash + 1)}`;
  text(header, 0, nameSize, plainOnly(place).slice(0, nameSize).replace(/\/+$/, ''));
  for (const at of [100, 108, 116]) octal(header, at, 8, 0);
  octal(header, 124, 12, content.length);
  octal(header, 136, 12, 0);
  header.write('x', 156, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  return Buffer.concat([summed(header), content, Buffer.alloc(paddingAfter(content.length))]);
}

/** The records that the fields of ustar cannot hold, in the order of their names. */
function paxRecordsOf(head: EntryHead): string {
  const records = new Map<string, string>();
  for (const [name, value] of head.xattrs) records.set(`SCHILY.xattr.${name}`, value);
  if (head.name.length > nameSize || !isPlain(head.name)) records.set('path', head.name);
  if (head.linkName.length > nameSize || !isPlain(head.linkName)) records.set('linkpath', head.linkName);
  const number = (key: string, value: number, width: number): void => {
    if (!fits(value, width)) records.set(key, String(value));
  };
  number('uid', head.uid, 8);
  number('gid', head.gid, 8);
  number('size', head.size, 12);
  number('mtime', head.mtime, 12);
  return [...records.keys()]
    .toSorted()
    .map((key) => record(key, records.get(key)!))
    .join('');
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}

const fits = (value: number, width: number): boolean => value >= 0 && value < 8 ** (width - 1);

function octal(header: Buffer, at: number, width: number, value: number): void {
  const digits = fits(value, width) ? value.toString(8) : '0';
  header.write(digits.padStart(width - 1, '0'), at, 'latin1');
}

function text(header: Buffer, at: number, width: number, value: string): void {
  const cut = value.slice(0, width);
  header.write(cut, at, 'latin1');
  // Some readers take a file for a directory when the slash is where its name was cut.
  if (value.length > width && cut.endsWith('/')) header[at + cut.replace(/\/+$/, '').length] = 0;
}

function summed(header: Buffer): Buffer {
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
