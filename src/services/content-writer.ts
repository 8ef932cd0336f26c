import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { checkLabels } from '#base/identifiers.ts';
import type { Locks } from '#base/locks.ts';
import { now } from '#base/moment.ts';
import type { Labels } from '#core/any.ts';
import type { BlobWriter, ContentStore } from '#core/content.ts';
import type { Digest } from '#core/images.ts';
import type { Ledger } from '#metadata/ledger.ts';
import type { IngestRow } from '#metadata/tables/ingests.ts';
import type { ContentWriter, IngestStatus } from './content.ts';
import type { Events } from './events.ts';
import { keptLabels } from './fields.ts';
import { hold, release } from './holds.ts';

interface OpenIngestParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly locks: Locks;
  /** Frees the ref for the next writer. */
  readonly closed: () => void;
}

/** The one writer that an ingest has at a time. */
export class OpenIngest implements ContentWriter {
  readonly openedAt = now();
  readonly #call: Call;
  readonly #row: IngestRow;
  readonly #parts: OpenIngestParts;
  #writer: BlobWriter | undefined;
  #movedAt = now();
  /** Also of an earlier writer of the same upload. */
  #updatedAt: Date = this.#movedAt;
  #closed = false;

  constructor(call: Call, row: IngestRow, parts: OpenIngestParts) {
    this.#call = call;
    this.#row = row;
    this.#parts = parts;
  }

  get ref(): string {
    return this.#row.ref;
  }

  get expected(): Digest {
    return this.#row.expected;
  }

  /** When bytes came last. */
  get movedAt(): Date {
    return this.#movedAt;
  }

  get attached(): boolean {
    return this.#writer !== undefined;
  }

  /** Opens the bytes on disk; the row is there already. */
  async attach(store: ContentStore): Promise<void> {
    const writer = await store.writer(this.#row.id, this.#call.signal);
    // Somebody may have aborted the upload meanwhile.
    if (this.#closed) {
      await writer.close();
      throw new HakoError('aborted', `the upload ${this.#row.ref} was aborted`);
    }
    if (writer.offset > 0) this.#updatedAt = (await store.ingest(this.#row.id))?.updatedAt ?? this.#updatedAt;
    this.#writer = writer;
  }

  status(): IngestStatus {
    const { ref, total, expected, createdAt } = this.#row;
    return { ref, total, expected, offset: this.#open().offset, startedAt: createdAt, updatedAt: this.#updatedAt };
  }

  #moved(): void {
    this.#movedAt = now();
    this.#updatedAt = this.#movedAt;
  }

  async write(data: Uint8Array): Promise<void> {
    this.#moved();
    await this.#open().write(data, this.#call.signal);
  }

  async truncate(size: number): Promise<void> {
    this.#moved();
    await this.#open().truncate(size, this.#call.signal);
  }

  async digest(): Promise<Digest> {
    return this.#open().digest(this.#call.signal);
  }

  async commit(expected: { size?: number; digest?: Digest; labels?: Labels }): Promise<Digest> {
    const { ledger } = this.#parts;
    const { signal } = this.#call;
    const writer = this.#open();
    const labels = expected.labels ?? {};
    checkLabels(labels, 'info.Labels');
    const size = writer.offset;
    if (expected.size !== undefined && expected.size !== 0 && expected.size !== size) {
      await this.close();
      throw new HakoError(
        'failed-precondition',
        `${JSON.stringify(this.#row.ref)} failed size validation: ${size} != ${expected.size}: failed precondition`,
      );
    }
    let digest = expected.digest ?? (await writer.digest(signal));
    let existed: boolean;
    {
      // Until the row is there, nothing but this lock keeps a collector from unlinking the blob.
      using _lock = await this.#parts.locks.hold(digest, signal);
      digest = await writer.commit(
        expected.digest === undefined ? { size } : { size, digest: expected.digest },
        signal,
      );
      existed = this.#record(digest, size, labels);
    }
    await this.close();
    await ledger.durable();
    if (existed) throw new HakoError('already-exists', `content ${digest}: already exists`);
    return digest;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#writer?.close();
    } finally {
      this.#parts.closed();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Turns the ingest's row into a blob's. True when this namespace had the blob already. */
  #record(digest: Digest, size: number, labels: Labels): boolean {
    const { ledger, events } = this.#parts;
    const { namespace } = this.#call;
    return ledger.transaction(() => {
      const existed = ledger.blobs.find(namespace, digest) !== undefined;
      if (!existed) {
        const at = now();
        ledger.namespaces.ensure(namespace);
        ledger.blobs.put(namespace, { digest, size, labels: keptLabels(labels), createdAt: at, updatedAt: at });
        const fields = { digest, size };
        events.publish(namespace, '/content/create', { kind: 'plain', type: 'ContentCreate', fields });
      }
      ledger.ingests.delete(this.#row.id);
      release(ledger, this.#call, { type: 'ingests', id: this.#row.ref });
      hold(ledger, this.#call, { type: 'content', id: digest });
      return existed;
    });
  }

  #open(): BlobWriter {
    if (this.#writer === undefined || this.#closed) {
      throw new HakoError('failed-precondition', `the upload ${this.#row.ref} is closed: open it again`);
    }
    return this.#writer;
  }
}
