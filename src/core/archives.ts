/** What stands in an archive. Only files have content. */
export interface ArchiveEntry {
  readonly kind: 'file' | 'directory' | 'symlink' | 'other';
  /** As it is written there: nothing is to be opened by it. */
  readonly name: string;
  readonly size: number;
  /** Where a symlink leads. */
  readonly target: string;
}

/** Reads entries in their order, once. Close it when done. */
export interface ArchiveReader extends AsyncDisposable {
  /** The next entry, undefined at the end. What was not read of the one before is passed over. */
  next(): Promise<ArchiveEntry | undefined>;
  /** Content of the entry given last. */
  content(): AsyncIterable<Uint8Array>;
}

/** One entry of a new archive. */
export interface NewArchiveEntry {
  readonly kind: 'file' | 'directory';
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  /** Exactly `size` bytes; absent for directories. */
  readonly content?: () => AsyncIterable<Uint8Array>;
}

/**
 * Makes and takes apart the archives that images travel in. What is malformed fails as `unknown`, in the words of
 * containerd's archive reader. Inflates and deflates beside the event loop.
 */
export interface Archives {
  /** Reads an archive, or one that is compressed where `compressed` allows it. */
  read(
    source: AsyncIterable<Uint8Array>,
    options: { readonly compressed: boolean },
    signal: AbortSignal,
  ): ArchiveReader;
  /** The bytes of an archive with these entries. */
  write(entries: Iterable<NewArchiveEntry>, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Compresses for good: gzip. */
  compress(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Passes bytes on and fails as `unknown` at their end when they do not have that digest. */
  verify(source: AsyncIterable<Uint8Array>, digest: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
