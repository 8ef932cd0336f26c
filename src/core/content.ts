import type { Digest } from './images.ts';

/** Names an unfinished upload on disk. Ours, never the user's: refs and namespaces stay in metadata. */
export type IngestId = string & { readonly brand: 'IngestId' };

/** A whole blob, verified when it was written. Close it when done. */
export interface Blob extends AsyncDisposable {
  readonly digest: Digest;
  readonly size: number;
  /** Where the bytes are, for workers that read by themselves. Absent when a store keeps them elsewhere. */
  readonly path?: string;
  /** Reads at most `length` bytes at `offset`; fewer only at the end. */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>;
}

/** An unfinished upload. Bytes survive a crash; `close` keeps them for the next writer, `abort` does not. */
export interface BlobWriter extends AsyncDisposable {
  /** Bytes written so far. */
  readonly offset: number;
  /** Appends; the store hashes in a worker. Resolves when more is welcome (backpressure). */
  write(data: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Drops everything after `size` bytes. unimplemented for another size than 0 where a remote side cannot. */
  truncate(size: number, signal: AbortSignal): Promise<void>;
  /** The digest of what was written so far. */
  digest(signal: AbortSignal): Promise<Digest>;
  /**
   * Syncs the bytes, checks size and digest where given (failed-precondition when they differ: the ingest stays) and
   * moves them to their place. A blob that is already there is a success.
   */
  commit(expected: { size?: number; digest?: Digest }, signal: AbortSignal): Promise<Digest>;
  /** Lets go; the bytes stay for a later writer. Also what `await using` does. */
  close(): Promise<void>;
}

/** Keeps blobs by digest. Every implementation passes `core/suites/content-store.ts`. */
export interface ContentStore {
  /** not-found when the blob is missing. */
  open(digest: Digest, signal: AbortSignal): Promise<Blob>;
  /** Size of a blob, or undefined when it is not there. */
  size(digest: Digest): Promise<number | undefined>;
  /** Opens or goes on with an upload. One writer an ingest: a second is `unavailable`. */
  writer(ingest: IngestId, signal: AbortSignal): Promise<BlobWriter>;
  /** Bytes and dates of an ingest, undefined when there is none. */
  ingest(ingest: IngestId): Promise<{ offset: number; startedAt: Date; updatedAt: Date } | undefined>;
  /** Deletes an upload. Idempotent. */
  abort(ingest: IngestId, signal: AbortSignal): Promise<void>;
  /** Deletes a blob. Idempotent. */
  remove(digest: Digest, signal: AbortSignal): Promise<void>;
  /** Every blob on disk, for reconciling at boot. */
  list(signal: AbortSignal): AsyncIterable<{ digest: Digest; size: number }>;
  /** Every unfinished upload on disk, for reconciling at boot. */
  ingests(signal: AbortSignal): AsyncIterable<IngestId>;
}
