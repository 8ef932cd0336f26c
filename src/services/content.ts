import type { Call } from '#base/call.ts';
import { parseDigest } from '#base/digest.ts';
import { codeOf, HakoError, invalid, messageOf } from '#base/errors.ts';
import { labelField, parseFilters } from '#base/filters.ts';
import { checkLabels } from '#base/identifiers.ts';
import { Locks } from '#base/locks.ts';
import { silent, type Logger } from '#base/log.ts';
import { now } from '#base/moment.ts';
import type { Labels } from '#core/any.ts';
import type { Blob, ContentStore, IngestId } from '#core/content.ts';
import type { Digest } from '#core/images.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { Background } from './background.ts';
import { OpenIngest } from './content-writer.ts';
import type { Events } from './events.ts';
import { keptLabels, maskedLabels, refusePath } from './fields.ts';
import { hold, release } from './holds.ts';

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

/** `shared`: a namespace gets a blob that another has by naming its digest; `isolated`: it has to upload it, too. */
export type ContentSharing = 'shared' | 'isolated';

export interface ContentParts {
  readonly ledger: Ledger;
  readonly events: Events;
  readonly store: ContentStore;
  /** Default shared, as containerd has it. */
  readonly sharing?: ContentSharing;
  readonly logger?: Logger;
}

/** How long an upload without a lease is kept, as containerd has it. */
const INGEST_LIFE_MS = 24 * 60 * 60 * 1000;
const READ_ALL_LIMIT = 8 * 1024 * 1024;
/** A download that has had no bytes for so long does not keep others waiting. */
const SILENT_MS = 10_000;

/** Whether the ref is what containerd's clients, and we, call the download of that digest. */
const isDownload = (ref: string, digest: Digest): boolean =>
  digest !== '' &&
  /^(?:layer|config|manifest|index|attestation|unknown)-/.test(ref) &&
  (ref.endsWith(`-${digest}`) || ref.endsWith(`@${digest}`));

/** Blobs by digest, each seen only in the namespaces that have it. */
export class Content {
  readonly #ledger: Ledger;
  readonly #events: Events;
  readonly #store: ContentStore;
  readonly #sharing: ContentSharing;
  readonly #logger: Logger;
  readonly #background: Background;
  /** By digest: whoever puts a blob in its place, records or unlinks it. Keeps those three from overtaking. */
  readonly #locks = new Locks();
  readonly #open = new Map<IngestId, OpenIngest>();

  constructor(parts: ContentParts) {
    this.#ledger = parts.ledger;
    this.#events = parts.events;
    this.#store = parts.store;
    this.#sharing = parts.sharing ?? 'shared';
    this.#logger = parts.logger ?? silent;
    this.#background = new Background(this.#logger);
  }

  info(call: Call, digest: Digest): ContentInfo {
    const info = this.find(call, digest);
    if (info === undefined) throw missing(digest);
    return info;
  }

  find(call: Call, digest: Digest): ContentInfo | undefined {
    parseDigest(digest);
    return this.#ledger.blobs.find(call.namespace, digest);
  }

  list(call: Call, filters: readonly string[]): IteratorObject<ContentInfo> {
    const match = parseFilters(filters);
    return this.#ledger.blobs.list(call.namespace).filter((info) => match((path) => infoField(info, path)));
  }

  async update(call: Call, given: { digest: Digest; labels: Labels }, paths: readonly string[]): Promise<ContentInfo> {
    const updated = this.#ledger.transaction(() => {
      const before = this.info(call, given.digest);
      const labels = maskedLabels(before.labels, given.labels, paths, (path) =>
        refusePath(path, `content info ${JSON.stringify(given.digest)}`),
      );
      checkLabels(labels, 'info.Labels');
      const after: ContentInfo = { ...before, labels: keptLabels(labels), updatedAt: now() };
      this.#ledger.blobs.put(call.namespace, after);
      return after;
    });
    await this.#ledger.durable();
    return updated;
  }

  async delete(call: Call, digest: Digest): Promise<void> {
    parseDigest(digest);
    this.#ledger.transaction(() => {
      if (!this.#ledger.blobs.delete(call.namespace, digest)) throw missing(digest);
      release(this.#ledger, call, { type: 'content', id: digest });
      const fields = { digest };
      this.#events.publish(call.namespace, '/content/delete', { kind: 'plain', type: 'ContentDelete', fields });
    });
    await this.#ledger.durable();
    this.#background.start('removing a deleted blob', (signal) => this.discard([digest], signal));
  }

  async open(call: Call, digest: Digest): Promise<Blob> {
    this.info(call, digest);
    return this.#store.open(digest, call.signal);
  }

  /** The whole of a small blob (manifest, config). resource-exhausted past `limit` bytes (8 MiB). */
  async readAll(call: Call, digest: Digest, limit: number = READ_ALL_LIMIT): Promise<Uint8Array> {
    await using blob = await this.open(call, digest);
    if (blob.size > limit) {
      throw new HakoError(
        'resource-exhausted',
        `content ${digest} has ${blob.size} bytes, more than the ${limit} that are read at once`,
      );
    }
    const whole = new Uint8Array(blob.size);
    for (let offset = 0; offset < blob.size;) {
      const part = await blob.read(offset, blob.size - offset, call.signal);
      if (part.length === 0) {
        throw new HakoError('data-loss', `content ${digest} ends after ${offset} of ${blob.size} bytes: pull it again`);
      }
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
  }

  /**
   * Opens or goes on with the upload `ref`. already-exists when `expected` is there (it is then recorded in this
   * namespace too, as containerd's shared policy has it); unavailable while another writer has the ref.
   */
  async writer(call: Call, options: { ref: string; total?: number; expected?: Digest }): Promise<ContentWriter> {
    const { ref, total = 0, expected = '' } = options;
    if (ref === '') throw invalid('ref must not be empty: invalid argument');
    if (expected !== '') {
      parseDigest(expected);
      await this.#shareExisting(call, expected, total);
    }
    const before = this.#ledger.ingests.find(call.namespace, ref);
    const holder = before === undefined ? undefined : this.#open.get(before.id);
    if (holder !== undefined) {
      const since = holder.openedAt.toISOString();
      throw new HakoError('unavailable', `ref ${ref} locked by another writer (since ${since}): unavailable`);
    }
    this.#refuseSecondDownload(ref, expected);
    const row = this.#ledger.transaction(() => {
      this.#ledger.namespaces.ensure(call.namespace);
      hold(this.#ledger, call, { type: 'ingests', id: ref });
      // A leased upload lives as long as its lease; any other gets a day from its last writer on.
      const expiresAt = call.lease === undefined ? new Date(Date.now() + INGEST_LIFE_MS) : undefined;
      return this.#ledger.ingests.open(call.namespace, ref, { total, expected, expiresAt });
    });
    const ingest = new OpenIngest(call, row, {
      ledger: this.#ledger,
      events: this.#events,
      locks: this.#locks,
      closed: () => this.#open.delete(row.id),
    });
    this.#open.set(row.id, ingest);
    try {
      await ingest.attach(this.#store);
      // Another length is another thing under the same name: what has come of the first is no part of it.
      if (before !== undefined && before.total > 0 && before.total !== row.total) await ingest.truncate(0);
    } catch (error) {
      this.#open.delete(row.id);
      throw error;
    }
    return ingest;
  }

  async status(call: Call, ref: string): Promise<IngestStatus> {
    const row = this.#ledger.ingests.find(call.namespace, ref);
    const status = row === undefined ? undefined : await this.#status(row);
    if (status === undefined) throw new HakoError('not-found', `reference ${ref}: not found`);
    return status;
  }

  async statuses(call: Call, filters: readonly string[]): Promise<IngestStatus[]> {
    const match = parseFilters(filters);
    const rows = this.#ledger.ingests
      .list(call.namespace)
      .filter((row) => match(([first]) => (first === 'ref' ? row.ref : undefined)));
    const statuses = await Promise.all(rows.map((row) => this.#status(row)));
    return statuses.filter((status) => status !== undefined);
  }

  async abort(call: Call, ref: string): Promise<void> {
    const row = this.#ledger.transaction(() => {
      const found = this.#ledger.ingests.find(call.namespace, ref);
      if (found === undefined) throw new HakoError('not-found', `reference ${ref}: not found`);
      this.#ledger.ingests.delete(found.id);
      release(this.#ledger, call, { type: 'ingests', id: ref });
      return found;
    });
    await this.#open.get(row.id)?.close();
    await this.#store.abort(row.id, call.signal);
  }

  /** Whether somebody writes to this upload now: the garbage collector leaves it alone. */
  isOpen(ingest: IngestId): boolean {
    return this.#open.has(ingest);
  }

  /** All uploads that somebody writes to now. */
  openIngests(): Iterable<IngestId> {
    return this.#open.keys();
  }

  /** Removes blobs from disk that no namespace names any more. Rows first: they must be gone already. */
  async discard(digests: Iterable<Digest>, signal: AbortSignal): Promise<void> {
    // Without this a power cut could bring back a row whose bytes are gone.
    await this.#ledger.durable();
    for (const digest of digests) {
      using _lock = await this.#locks.hold(digest, signal);
      if (this.#ledger.blobs.anywhere(digest)) continue;
      await this.#store.remove(digest, signal);
      this.#logger.log('debug', 'removed content', { digest });
    }
  }

  /** Deletes uploads from disk whose rows are gone. */
  async discardIngests(ids: Iterable<IngestId>, signal: AbortSignal): Promise<void> {
    for (const id of ids) {
      if (!this.#ledger.ingests.has(id)) await this.#store.abort(id, signal);
    }
  }

  /**
   * Agrees with the disk after a start: removes what no row names. Before anybody may write. A store in another process
   * that is not there yet keeps what it has until the next start.
   */
  async reconcile(signal: AbortSignal): Promise<void> {
    try {
      await this.#removeDebris(signal);
    } catch (error) {
      if (codeOf(error) !== 'unavailable') throw error;
      this.#logger.log('warn', 'what the content store keeps was not looked at', { reason: messageOf(error) });
    }
  }

  async #removeDebris(signal: AbortSignal): Promise<void> {
    for await (const { digest } of this.#store.list(signal)) {
      if (!this.#ledger.blobs.anywhere(digest)) await this.discard([digest], signal);
    }
    for await (const id of this.#store.ingests(signal)) {
      // The counter may have been thrown back by a power cut: an id whose bytes are on disk is not given out again.
      if (/^[0-9]{1,15}$/.test(id)) this.#ledger.ingests.skip(Number(id));
      if (!this.#ledger.ingests.has(id)) await this.#store.abort(id, signal);
    }
  }

  /** Resolves when nothing is being removed in the background. */
  idle(): Promise<void> {
    return this.#background.idle();
  }

  /** Stops removing. What is left on disk is found at the next start. */
  close(): Promise<void> {
    return this.#background.stop();
  }

  async #status(row: {
    id: IngestId;
    ref: string;
    total: number;
    expected: Digest;
  }): Promise<IngestStatus | undefined> {
    const open = this.#open.get(row.id);
    if (open?.attached === true) return open.status();
    const found = await this.#store.ingest(row.id);
    return found === undefined ? undefined : { ref: row.ref, total: row.total, expected: row.expected, ...found };
  }

  /**
   * Namespaces share blobs, so two clients that download the same one, each into its own, need not both do so: the second
   * is told what it is told of a ref in use, waits as clients do then, and finds the blob there. Only for refs that name a
   * download, and only as long as its bytes come.
   */
  #refuseSecondDownload(ref: string, expected: Digest): void {
    if (!isDownload(ref, expected)) return;
    for (const other of this.#open.values()) {
      if (other.expected !== expected || !isDownload(other.ref, expected)) continue;
      if (Date.now() - other.movedAt.getTime() > SILENT_MS) continue;
      throw new HakoError('unavailable', `ref ${ref} locked by another writer (of the same content): unavailable`);
    }
  }

  #isShared(digest: Digest): boolean {
    if (this.#sharing === 'shared') return true;
    const { blobs, namespaces } = this.#ledger;
    return blobs.namespacesOf(digest).some((name) => namespaces.find(name)?.labels[SHAREABLE] === 'true');
  }

  /** Throws already-exists when this namespace has the blob, or another has and shares it. */
  async #shareExisting(call: Call, digest: Digest, total: number): Promise<void> {
    using _lock = await this.#locks.hold(digest, call.signal);
    const size = await this.#store.size(digest);
    const exists = this.#ledger.transaction(() => {
      let there = this.#ledger.blobs.find(call.namespace, digest) !== undefined;
      // Another size is likely an error of the caller, who finds it at commit.
      if (!there && size !== undefined && (total === 0 || total === size) && this.#isShared(digest)) {
        const at = now();
        this.#ledger.namespaces.ensure(call.namespace);
        this.#ledger.blobs.put(call.namespace, { digest, size, labels: {}, createdAt: at, updatedAt: at });
        // To the namespace it is new.
        const payload = { kind: 'plain', type: 'ContentCreate', fields: { digest, size } } as const;
        this.#events.publish(call.namespace, '/content/create', payload);
        there = true;
      }
      if (there) hold(this.#ledger, call, { type: 'content', id: digest });
      return there;
    });
    if (exists) throw new HakoError('already-exists', `content ${digest}: already exists`);
  }
}

/** A namespace with this label lets all others have its blobs, whatever the policy. */
const SHAREABLE = 'containerd.io/namespace.shareable';

const missing = (digest: Digest): HakoError => new HakoError('not-found', `content digest ${digest}: not found`);

function infoField(info: ContentInfo, path: readonly string[]): string | undefined {
  const [first, ...rest] = path;
  if (first === 'digest') return info.digest;
  if (first === 'size') return String(info.size);
  return first === 'labels' ? labelField(info.labels, rest) : undefined;
}
