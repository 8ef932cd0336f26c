import { randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import { cleanupSignal, type Call } from '#base/call.ts';
import { codeOf, HakoError } from '#base/errors.ts';
import type { Labels } from '#core/any.ts';
import type { ArchiveEntry, ArchiveReader } from '#core/archives.ts';
import type { Digest } from '#core/images.ts';
import type { Content } from '../content.ts';

/** Documents of the archive's own are read into memory; containerd has the same limit. */
const maxJson = 20 * 1024 * 1024;
/** More than any archive of images has. */
const maxEntries = 100_000;
const maxName = 4096;

/** A blob by the name that it had in the archive. */
export interface ArchiveBlob {
  readonly digest: Digest;
  readonly size: number;
}

/** An archive whose files are all in the store now. */
export interface ArchiveFiles {
  readonly blobs: ReadonlyMap<string, ArchiveBlob>;
  /** What `oci-layout` and `manifest.json` hold, where they are there. */
  readonly layout: unknown;
  readonly dockerManifest: unknown;
}

const fault = (message: string, cause?: unknown): HakoError => new HakoError('unknown', message, cause);

/** Brings every file of an archive into the content store, under the call's lease. */
export async function readArchive(content: Content, call: Call, archive: ArchiveReader): Promise<ArchiveFiles> {
  const blobs = new Map<string, ArchiveBlob>();
  const symlinks = new Map<string, string>();
  let layout: unknown;
  let dockerManifest: unknown;
  let count = 0;
  for (let entry = await archive.next(); entry !== undefined; entry = await archive.next()) {
    call.signal.throwIfAborted();
    checkEntry(entry, ++count);
    if (entry.kind === 'symlink') symlinks.set(entry.name, posix.join(posix.dirname(entry.name), entry.target));
    if (entry.kind !== 'file') continue;
    const name = posix.normalize(entry.name);
    if (name === 'oci-layout') layout = await readJson(archive, `untar oci layout ${JSON.stringify(entry.name)}`);
    else if (name === 'manifest.json')
      dockerManifest = await readJson(archive, `untar manifest ${JSON.stringify(entry.name)}`);
    else blobs.set(name, await ingest(content, call, archive, entry));
  }
  // Docker writes a layer that stands twice as a link to the other one. Only its own format has them.
  if (layout === undefined && dockerManifest !== undefined) {
    for (const [name, target] of symlinks) {
      const blob = blobs.get(target);
      if (blob === undefined)
        throw fault(`no target for symlink layer from ${JSON.stringify(name)} to ${JSON.stringify(target)}`);
      blobs.set(name, blob);
    }
  }
  return { blobs, layout, dockerManifest };
}

function checkEntry({ name }: ArchiveEntry, count: number): void {
  if (count > maxEntries)
    throw new HakoError('resource-exhausted', `the archive has more than ${maxEntries} entries, which is the limit`);
  if (name.length > maxName)
    throw new HakoError('resource-exhausted', `a name in the archive is longer than ${maxName} characters`);
}

async function readJson(archive: ArchiveReader, what: string): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of archive.content()) {
    size += piece.length;
    if (size > maxJson) throw new HakoError('resource-exhausted', `${what}: more than ${maxJson} bytes`);
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8')) as unknown;
  } catch (error) {
    throw fault(`${what}: ${size === 0 ? 'EOF' : 'it is not JSON'}`, error);
  }
}

async function ingest(
  content: Content,
  call: Call,
  archive: ArchiveReader,
  { name, size }: ArchiveEntry,
): Promise<ArchiveBlob> {
  let read = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of archive.content()) {
      read += piece.length;
      yield piece;
    }
  };
  try {
    return await writeBlob(content, call, counted());
  } catch (error) {
    if (codeOf(error) !== 'unknown') throw error;
    const short = read < size ? `short read: expected ${size} bytes but got ${read}: ` : '';
    throw fault(`failed to ingest ${JSON.stringify(name)}: ${short}${(error as Error).message}`, error);
  }
}

/** Brings bytes into the store. Leaves nothing half written. */
export async function writeBlob(
  content: Content,
  call: Call,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  labels?: Labels,
): Promise<ArchiveBlob> {
  // Of no use to a later try, so nobody else may meet it.
  const ref = `import-${randomBytes(12).toString('hex')}`;
  const writer = await content.writer(call, { ref });
  try {
    for await (const piece of source) await writer.write(piece);
    const digest = await writer.digest();
    const { offset: size } = writer.status();
    try {
      await writer.commit({ digest, size, ...(labels !== undefined && { labels }) });
    } catch (error) {
      if (codeOf(error) !== 'already-exists') throw error;
    }
    return { digest, size };
  } catch (error) {
    await writer.close().catch(() => {});
    await content.abort({ ...call, signal: cleanupSignal() }, ref).catch(() => {});
    throw error;
  }
}
