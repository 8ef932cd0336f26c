// A small tar writer (POSIX ustar, with pax records where a name does not fit). Plain JavaScript for Node 20, since
// the quickstart runs before the Node that the daemon needs is there.

const block = 512;
const types = { file: '0', hardlink: '1', symlink: '2', char: '3', block: '4', dir: '5', fifo: '6' };

/**
 * One entry. `type` is one of the keys above; `data` belongs to a file, `link` to links, `major` and `minor` to devices.
 * @typedef {{ name: string, type?: keyof typeof types, mode?: number, uid?: number, gid?: number, mtime?: number,
 *   data?: Uint8Array, link?: string, major?: number, minor?: number, xattrs?: Record<string, string> }} Entry
 */

/** @param {readonly Entry[]} entries */
export function tar(entries) {
  const parts = [];
  for (const entry of entries) {
    const data = Buffer.from(entry.data ?? '');
    const pax = paxRecords(entry);
    if (pax.length > 0) {
      parts.push(header({ name: 'pax', mode: 0o644, mtime: entry.mtime }, 'x', pax.length), padded(pax));
    }
    parts.push(header(entry, types[entry.type ?? 'file'], data.length), padded(data));
  }
  parts.push(Buffer.alloc(2 * block));
  return Buffer.concat(parts);
}

function header(entry, type, size) {
  const buffer = Buffer.alloc(block);
  Buffer.from(entry.name).copy(buffer, 0, 0, 100);
  octal(buffer, 100, 8, entry.mode ?? (type === '5' ? 0o755 : 0o644));
  octal(buffer, 108, 8, entry.uid ?? 0);
  octal(buffer, 116, 8, entry.gid ?? 0);
  octal(buffer, 124, 12, size);
  octal(buffer, 136, 12, entry.mtime ?? 0);
  buffer.write(type, 156);
  Buffer.from(entry.link ?? '').copy(buffer, 157, 0, 100);
  buffer.write('ustar\u000000', 257, 'latin1');
  octal(buffer, 329, 8, entry.major ?? 0);
  octal(buffer, 337, 8, entry.minor ?? 0);
  // The sum is taken with its own field as blanks.
  buffer.fill(' ', 148, 156);
  const sum = buffer.reduce((total, byte) => total + byte, 0);
  buffer.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return buffer;
}

/** A pax record is its own length in decimal, a blank, key=value and a newline; the length counts itself. */
function paxRecords(entry) {
  const pairs = Object.entries(entry.xattrs ?? {}).map(([key, value]) => [`SCHILY.xattr.${key}`, value]);
  if (Buffer.byteLength(entry.name) > 100) pairs.push(['path', entry.name]);
  if (Buffer.byteLength(entry.link ?? '') > 100) pairs.push(['linkpath', entry.link]);
  return Buffer.concat(
    pairs.map(([key, value]) => {
      const rest = Buffer.byteLength(` ${key}=${value}\n`);
      let length = rest + String(rest).length;
      if (rest + String(length).length > length) length += 1;
      return Buffer.from(`${length} ${key}=${value}\n`);
    }),
  );
}

const octal = (buffer, offset, width, value) =>
  buffer.write(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, 'latin1');
const padded = (data) => Buffer.concat([data, Buffer.alloc((block - (data.length % block)) % block)]);
