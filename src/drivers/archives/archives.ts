import { parseDigest } from '#base/digest.ts';
import { HakoError } from '#base/errors.ts';
import { Thread } from '#base/threads.ts';
import type { ArchiveReader, Archives, NewArchiveEntry } from '#core/archives.ts';
import type { HashRequest } from './hash-worker.ts';
import { deflated, inflated } from './inflate.ts';
import { TarReader } from './tar-reader.ts';
import { tarOf } from './tar-writer.ts';

/** Tar archives: zlib works in libuv's threads, hashes in one of our own. */
export class TarArchives implements Archives {
  #thread: Thread | undefined;
  #last = 0;

  read(
    source: AsyncIterable<Uint8Array>,
    options: { readonly compressed: boolean },
    signal: AbortSignal,
  ): ArchiveReader {
    return new TarReader(options.compressed ? inflated(source, signal) : source);
  }

  write(entries: Iterable<NewArchiveEntry>, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return tarOf(entries, signal);
  }

  compress(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return deflated(source, signal);
  }

  async *verify(source: AsyncIterable<Uint8Array>, digest: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { algorithm } = parseDigest(digest);
    const id = ++this.#last;
    const ask = (request: HashRequest): Promise<unknown> => this.#worker().run(request, signal);
    await ask({ do: 'begin', id, algorithm });
    let actual: unknown;
    try {
      // One buffer goes back and forth: copies that threads make of messages fill the memory faster than it is freed.
      let buffer = new SharedArrayBuffer(0);
      for await (const data of source) {
        if (buffer.byteLength < data.length) buffer = new SharedArrayBuffer(data.length);
        new Uint8Array(buffer).set(data);
        // The bytes go on while they are hashed.
        const hashed = ask({ do: 'update', id, buffer, length: data.length });
        hashed.catch(() => {});
        yield data;
        await hashed;
      }
    } finally {
      actual = await this.#worker().run({ do: 'end', id } satisfies HashRequest);
    }
    if (actual !== digest) throw new HakoError('unknown', `unexpected digest ${String(actual)} copied`);
  }

  close(): void {
    this.#thread?.end();
    this.#thread = undefined;
  }

  #worker(): Thread {
    if (this.#thread === undefined || this.#thread.dead)
      this.#thread = new Thread(new URL('hash-worker.ts', import.meta.url));
    return this.#thread;
  }
}
