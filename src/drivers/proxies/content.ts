import { parseDigest } from '#base/digest.ts';
import { codeOf, HakoError, invalid } from '#base/errors.ts';
import type { Blob, BlobWriter, ContentStore, IngestId } from '#core/content.ts';
import type { Digest } from '#core/images.ts';
import { Content, type WriteContentResponse } from '#proto/gen/containerd/services/content/v1/content_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import { momentOf } from '#wire/timestamp.ts';
import { ContentProxyWriter, type WriteRequest } from './content-writer.ts';
import { ProxyConnection, type ProxyAddress } from './connection.ts';
import { Exchange } from './exchange.ts';
import { Marks } from './marks.ts';

/** Where our blobs are, should the remote side have namespaces: they are one store to us. */
const NAMESPACE = 'hakobune';
/** For calls that have no signal of their own. */
const PATIENCE_MS = 60_000;

/** A content store in another process, behind containerd's content service. */
export class ContentProxy implements ContentStore {
  readonly #connection: ProxyConnection;
  readonly #client: Client<typeof Content>;
  readonly #owner: string;
  readonly #marks: Marks;
  /** Open uploads; undefined while one is being opened. */
  readonly #writers = new Map<IngestId, ContentProxyWriter | undefined>();
  /** Blobs that are read now, and those of them that are to go when nobody reads them any more. */
  readonly #readers = new Map<Digest, number>();
  readonly #doomed = new Set<Digest>();

  /** `owner` tells our blobs from those of others that use the same store. */
  constructor(at: ProxyAddress, owner: string) {
    this.#connection = new ProxyConnection(at);
    this.#client = this.#connection.service(Content);
    this.#owner = owner;
    this.#marks = new Marks(owner);
  }

  async open(digest: Digest, signal: AbortSignal): Promise<Blob> {
    parseDigest(digest);
    signal.throwIfAborted();
    const size = this.#doomed.has(digest) ? undefined : await this.#sizeOf(digest, signal);
    if (size === undefined) throw new HakoError('not-found', `content "${digest}": not found`);
    this.#readers.set(digest, (this.#readers.get(digest) ?? 0) + 1);
    let open = true;
    return {
      digest,
      size,
      read: (offset, length, within) => this.#read(digest, offset, Math.min(length, size - offset), within),
      [Symbol.asyncDispose]: async () => {
        if (open) await this.#closed(digest);
        open = false;
      },
    };
  }

  async size(digest: Digest): Promise<number | undefined> {
    parseDigest(digest);
    return this.#doomed.has(digest) ? undefined : this.#sizeOf(digest, AbortSignal.timeout(PATIENCE_MS));
  }

  async writer(ingest: IngestId, signal: AbortSignal): Promise<BlobWriter> {
    signal.throwIfAborted();
    const ref = this.#ref(ingest);
    if (this.#writers.has(ingest))
      throw new HakoError('unavailable', `ingest "${ingest}" is locked: another writer has it open`);
    this.#writers.set(ingest, undefined);
    try {
      const writer = await ContentProxyWriter.open({
        ref,
        connection: this.#connection,
        labels: () => this.#marks.labels(),
        start: () =>
          new Exchange<WriteRequest, WriteContentResponse>((requests, until) =>
            this.#client.write(requests, this.#connection.on(NAMESPACE, until)),
          ),
        // A blob that is written again is not to go any more.
        committed: (digest) => void this.#doomed.delete(digest),
        closed: () => void this.#writers.delete(ingest),
      });
      this.#writers.set(ingest, writer);
      return writer;
    } catch (error) {
      this.#writers.delete(ingest);
      throw error;
    }
  }

  async ingest(ingest: IngestId): Promise<{ offset: number; startedAt: Date; updatedAt: Date } | undefined> {
    const options = this.#connection.on(NAMESPACE, AbortSignal.timeout(PATIENCE_MS));
    const ref = this.#ref(ingest);
    const { status } = await this.#unless('not-found', () => this.#client.status({ ref }, options), {
      status: undefined,
    });
    if (status === undefined) return undefined;
    const { offset, startedAt, updatedAt } = status;
    const started = momentOf(startedAt);
    return {
      offset: this.#writers.get(ingest)?.offset ?? Number(offset),
      startedAt: started,
      updatedAt: updatedAt === undefined ? started : momentOf(updatedAt),
    };
  }

  async abort(ingest: IngestId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const ref = this.#ref(ingest);
    await this.#writers.get(ingest)?.drop('was aborted');
    const options = this.#connection.on(NAMESPACE, signal);
    await this.#unless('not-found', () => this.#client.abort({ ref }, options), undefined);
  }

  /** Whoever reads the blob may read on; the remote side hears of it when nobody does. */
  async remove(digest: Digest, signal: AbortSignal): Promise<void> {
    parseDigest(digest);
    signal.throwIfAborted();
    if (this.#readers.has(digest)) this.#doomed.add(digest);
    else await this.#delete(digest, signal);
  }

  async *list(signal: AbortSignal): AsyncIterable<{ digest: Digest; size: number }> {
    try {
      const replies = this.#client.list({ filters: [this.#marks.filter] }, this.#connection.on(NAMESPACE, signal));
      for await (const { info } of replies) {
        for (const { digest, size, labels } of info) {
          if (this.#marks.areOn(labels) && !this.#doomed.has(digest)) yield { digest, size: Number(size) };
        }
      }
    } catch (error) {
      throw this.#connection.explain(error);
    }
  }

  async *ingests(signal: AbortSignal): AsyncIterable<IngestId> {
    const options = this.#connection.on(NAMESPACE, signal);
    const { statuses } = await this.#connection.ask(() => this.#client.listStatuses({}, options));
    const prefix = `${this.#owner}/`;
    for (const { ref } of statuses) if (ref.startsWith(prefix)) yield ref.slice(prefix.length) as IngestId;
  }

  /** Breaks the connection off. */
  close(): void {
    this.#connection.close();
  }

  #ref(ingest: IngestId): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(ingest))
      throw invalid(`ingest "${ingest}": want letters, digits, "_", "." and "-" only`);
    return `${this.#owner}/${ingest}`;
  }

  async #sizeOf(digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    const options = this.#connection.on(NAMESPACE, signal);
    const { info } = await this.#unless('not-found', () => this.#client.info({ digest }, options), { info: undefined });
    return info === undefined ? undefined : Number(info.size);
  }

  async #read(digest: Digest, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    if (!Number.isSafeInteger(offset) || offset < 0) throw invalid(`content "${digest}": cannot read at ${offset}`);
    // A size of 0 would mean all of it.
    if (length <= 0) return new Uint8Array();
    const request = { digest, offset: BigInt(offset), size: BigInt(length) };
    const parts: Uint8Array[] = [];
    await this.#connection.ask(async () => {
      const options = this.#connection.on(NAMESPACE, signal);
      for await (const { data } of this.#client.read(request, options)) parts.push(data);
    });
    const whole = Buffer.concat(parts);
    if (whole.length === length) return whole;
    throw new HakoError('data-loss', `content "${digest}": ${whole.length} of ${length} bytes came from ${offset} on`);
  }

  async #closed(digest: Digest): Promise<void> {
    const left = (this.#readers.get(digest) ?? 1) - 1;
    if (left > 0) {
      this.#readers.set(digest, left);
      return;
    }
    this.#readers.delete(digest);
    if (this.#doomed.delete(digest)) await this.#delete(digest, AbortSignal.timeout(PATIENCE_MS));
  }

  /** Deletes it unless it is someone else's. */
  async #delete(digest: Digest, signal: AbortSignal): Promise<void> {
    const options = this.#connection.on(NAMESPACE, signal);
    const { info } = await this.#unless('not-found', () => this.#client.info({ digest }, options), { info: undefined });
    if (info === undefined || !this.#marks.areOn(info.labels)) return;
    await this.#unless('not-found', () => this.#client.delete({ digest }, options), undefined);
  }

  async #unless<T, Other>(code: 'not-found', call: () => Promise<T>, otherwise: Other): Promise<T | Other> {
    try {
      return await this.#connection.ask(call);
    } catch (error) {
      if (codeOf(error) === code) return otherwise;
      throw error;
    }
  }
}
