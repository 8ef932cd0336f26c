/** Makes tar archives for tests, good ones and bad ones, byte by byte. */

export interface TarEntry {
  readonly name: string;
  /** The type letter; a regular file when absent. */
  readonly type?: string;
  readonly content?: string | Uint8Array;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly device?: readonly [major: number, minor: number];
  /** Records of a PAX header before the entry. */
  readonly pax?: Readonly<Record<string, string>>;
  /** Says another size in the header than the content has. */
  readonly size?: number;
  /** Changes the finished header; its checksum is made right afterwards unless `badSum`. */
  readonly change?: (header: Buffer) => void;
  readonly badSum?: boolean;
}

const octal = (number: number, width: number): string => `${number.toString(8).padStart(width - 1, '0')}\0`;

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

function paxHeader(records: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    let length = rest + 1;
    while (String(length).length + rest !== length) length = String(length).length + rest;
    return `${length} ${key}=${value}\n`;
  });
  return entryBytes({ name: 'pax', type: 'x', content: lines.join('') });
}

function entryBytes(entry: TarEntry): Buffer {
  const content = typeof entry.content === 'string' ? Buffer.from(entry.content) : (entry.content ?? Buffer.alloc(0));
  const type = entry.type ?? '0';
  const header = Buffer.alloc(512);
  header.write(entry.name, 0, 100, 'latin1');
  header.write(octal(entry.mode ?? (type === '5' ? 0o755 : 0o644), 8), 100, 'latin1');
  header.write(octal(entry.uid ?? 0, 8), 108, 'latin1');
  header.write(octal(entry.gid ?? 0, 8), 116, 'latin1');
  header.write(octal(entry.size ?? content.length, 12), 124, 'latin1');
  header.write(octal(entry.mtime ?? 1_700_000_000, 12), 136, 'latin1');
  header.write(type, 156, 'latin1');
  header.write(entry.link ?? '', 157, 100, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  header.write(octal(entry.device?.[0] ?? 0, 8), 329, 'latin1');
  header.write(octal(entry.device?.[1] ?? 0, 8), 337, 'latin1');
  entry.change?.(header);
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, entry.badSum === true ? 1 : 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([...(entry.pax === undefined ? [] : [paxHeader(entry.pax)]), header, padded(content)]);
}

/** An archive of these entries, with its end. */
export const makeTar = (entries: readonly TarEntry[]): Buffer =>
  Buffer.concat([...entries.map(entryBytes), Buffer.alloc(1024)]);

/** The same without the two blocks that end an archive. */
export const makeOpenTar = (entries: readonly TarEntry[]): Buffer => Buffer.concat(entries.map(entryBytes));
