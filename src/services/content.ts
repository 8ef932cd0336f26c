import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { Labels } from '#core/any.ts';
import type { Blob } from '#core/content.ts';
import type { Digest } from '#core/images.ts';

export interface ContentInfo {
  readonly digest: Digest;
  readonly size: number;
  readonly labels: Labels;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface IngestStatus {
  readonly ref: string;
  readonly offset: number;
  readonly total: number;
  readonly expected: Digest;
  readonly startedAt: Date;
  readonly updatedAt: Date;
}

/** An open upload in a namespace. Closing keeps its bytes for the next writer of the same ref. */
export interface ContentWriter extends AsyncDisposable {
  status(): IngestStatus;
  write(data: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  /** The digest of what was written so far. */
  digest(): Promise<Digest>;
  /** already-exists (after recording it in this namespace) when the blob is there; the ingest is gone either way. */
  commit(expected: { size?: number; digest?: Digest; labels?: Labels }): Promise<Digest>;
  close(): Promise<void>;
}

/** Blobs by digest, each seen only in the namespaces that have it. */
export class Content {
  info(_call: Call, _digest: Digest): ContentInfo {
    throw unimplemented('content.info');
  }
  find(_call: Call, _digest: Digest): ContentInfo | undefined {
    throw unimplemented('content.find');
  }
  list(_call: Call, _filters: readonly string[]): Iterable<ContentInfo> {
    throw unimplemented('content.list');
  }
  update(_call: Call, _info: { digest: Digest; labels: Labels }, _paths: readonly string[]): Promise<ContentInfo> {
    throw unimplemented('content.update');
  }
  delete(_call: Call, _digest: Digest): Promise<void> {
    throw unimplemented('content.delete');
  }
  open(_call: Call, _digest: Digest): Promise<Blob> {
    throw unimplemented('content.open');
  }
  /** The whole of a small blob (manifest, config). resource-exhausted past `limit` bytes (8 MiB). */
  readAll(_call: Call, _digest: Digest, _limit?: number): Promise<Uint8Array> {
    throw unimplemented('content.readAll');
  }
  /**
   * Opens or goes on with the upload `ref`. already-exists when `expected` is there (it is then recorded in this
   * namespace too, as containerd's shared policy has it); unavailable while another writer has the ref.
   */
  writer(_call: Call, _options: { ref: string; total?: number; expected?: Digest }): Promise<ContentWriter> {
    throw unimplemented('content.writer');
  }
  status(_call: Call, _ref: string): Promise<IngestStatus> {
    throw unimplemented('content.status');
  }
  statuses(_call: Call, _filters: readonly string[]): Promise<IngestStatus[]> {
    throw unimplemented('content.statuses');
  }
  abort(_call: Call, _ref: string): Promise<void> {
    throw unimplemented('content.abort');
  }
}
