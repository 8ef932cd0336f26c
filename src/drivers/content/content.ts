import { constants } from 'node:fs';
import { mkdir, open, opendir, rm, stat, unlink, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { digestAlgorithms, isDigest, parseDigest } from '#base/digest.ts';
import { HakoError, invalid, notFound } from '#base/errors.ts';
import { Moment } from '#base/moment.ts';
import type { Blob, BlobWriter, ContentStore, IngestId } from '#core/content.ts';
import type { Digest } from '#core/images.ts';
import { explainSpace } from '#sys/space.ts';
import { syncDirectory } from '#sys/trees.ts';
import { IngestThreads, IngestWriter, type IngestRequest, type Opened } from './ingests.ts';

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';

class FileBlob implements Blob {
  readonly digest: Digest;
  readonly size: number;
  readonly path: string;
  readonly #handle: FileHandle;

  constructor(digest: Digest, size: number, file: string, handle: FileHandle) {
    this.digest = digest;
    this.size = size;
    this.path = file;
    this.#handle = handle;
  }

  async read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    if (!Number.isSafeInteger(offset) || offset < 0 || length < 0)
      throw invalid(`content "${this.digest}": cannot read ${length} bytes at ${offset}`);
    const buffer = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, this.size - offset)));
    let done = 0;
    while (done < buffer.length) {
      const { bytesRead } = await this.#handle.read(buffer, done, buffer.length - done, offset + done);
      if (bytesRead === 0)
        throw new HakoError(
          'data-loss',
          `content "${this.digest}": the file ended at ${offset + done} bytes of ${this.size}`,
        );
      done += bytesRead;
    }
    return buffer;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.close();
  }
}

/**
 * Blobs as files: `blobs/<algorithm>/<hex>`, and uploads in `ingest/<id>/data`. Only files that were synced and
 * verified get a name under `blobs`, so what is there is whole, whenever the machine stopped.
 */
export class FileContentStore implements ContentStore, Disposable {
  readonly #root: string;
  readonly #threads = new IngestThreads(2);
  /** Open uploads; undefined while one is being opened. */
  readonly #writers = new Map<IngestId, IngestWriter | undefined>();

  private constructor(root: string) {
    this.#root = root;
  }

  /** Makes what is missing of the store's directories. */
  static async start(root: string): Promise<FileContentStore> {
    for (const directory of [...digestAlgorithms.map((algorithm) => path.join('blobs', algorithm)), 'ingest']) {
      await mkdir(path.join(root, directory), { recursive: true, mode: 0o700 });
    }
    await syncDirectory(path.join(root, 'blobs'));
    await syncDirectory(root);
    return new FileContentStore(root);
  }

  #blobPath(digest: Digest): string {
    const { algorithm, hex } = parseDigest(digest);
    return path.join(this.#root, 'blobs', algorithm, hex);
  }

  #ingestPath(id: IngestId): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(id))
      throw invalid(`ingest "${id}": want letters, digits, "_", "." and "-" only`);
    return path.join(this.#root, 'ingest', id);
  }

  async open(digest: Digest, signal: AbortSignal): Promise<Blob> {
    signal.throwIfAborted();
    const file = this.#blobPath(digest);
    let handle: FileHandle;
    try {
      handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (error) {
      throw isMissing(error) ? notFound('content', digest) : error;
    }
    try {
      const { size } = await handle.stat();
      return new FileBlob(digest, size, file, handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async size(digest: Digest): Promise<number | undefined> {
    try {
      return (await stat(this.#blobPath(digest))).size;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async writer(ingest: IngestId, signal: AbortSignal): Promise<BlobWriter> {
    signal.throwIfAborted();
    const directory = this.#ingestPath(ingest);
    if (this.#writers.has(ingest))
      throw new HakoError('unavailable', `ingest "${ingest}" is locked: another writer has it open`);
    this.#writers.set(ingest, undefined);
    try {
      const thread = this.#threads.pick();
      const { offset } = (await thread.run(
        { do: 'open', id: ingest, directory } satisfies IngestRequest,
        signal,
      )) as Opened;
      const writer = new IngestWriter(this.#threads, thread, ingest, path.join(this.#root, 'blobs'), offset, () => {
        if (this.#writers.get(ingest) === writer) this.#writers.delete(ingest);
      });
      this.#writers.set(ingest, writer);
      return writer;
    } catch (error) {
      this.#writers.delete(ingest);
      throw signal.aborted ? error : explainSpace(error, this.#root, `opening ingest "${ingest}"`);
    }
  }

  async ingest(ingest: IngestId): Promise<{ offset: number; startedAt: Date; updatedAt: Date } | undefined> {
    const directory = this.#ingestPath(ingest);
    try {
      // Nothing but the data file is ever made there, so the directory's date is the start.
      const [started, data] = await Promise.all([
        stat(directory, { bigint: true }),
        stat(path.join(directory, 'data'), { bigint: true }),
      ]);
      return {
        offset: this.#writers.get(ingest)?.offset ?? Number(data.size),
        startedAt: new Moment(Number(started.mtimeNs / 1000n)),
        // Dates are set as fractions of a second, which may be a hair too small.
        updatedAt: new Moment(Number((data.mtimeNs + 500n) / 1000n)),
      };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async abort(ingest: IngestId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const directory = this.#ingestPath(ingest);
    if (this.#writers.has(ingest) && this.#writers.get(ingest) === undefined) {
      throw new HakoError('unavailable', `ingest "${ingest}" is locked: a writer is just opening it`);
    }
    await this.#writers.get(ingest)?.drop('was aborted');
    await rm(directory, { recursive: true, force: true });
  }

  async remove(digest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      await unlink(this.#blobPath(digest));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  async *list(signal: AbortSignal): AsyncIterable<{ digest: Digest; size: number }> {
    for (const algorithm of digestAlgorithms) {
      for await (const entry of await opendir(path.join(this.#root, 'blobs', algorithm))) {
        signal.throwIfAborted();
        const digest = `${algorithm}:${entry.name}`;
        const size = isDigest(digest) ? await this.size(digest) : undefined;
        if (size !== undefined) yield { digest, size };
      }
    }
  }

  async *ingests(signal: AbortSignal): AsyncIterable<IngestId> {
    for await (const entry of await opendir(path.join(this.#root, 'ingest'))) {
      signal.throwIfAborted();
      yield entry.name as IngestId;
    }
  }

  /** Ends the threads. Uploads that are open stay on disk as they are. */
  [Symbol.dispose](): void {
    this.#threads.end();
  }
}
