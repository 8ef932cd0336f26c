import type { MessageInitShape } from '@bufbuild/protobuf';
import { codeOf, HakoError } from '#base/errors.ts';
import { abortable } from '#base/locks.ts';
import type { Labels } from '#core/any.ts';
import type { BlobWriter } from '#core/content.ts';
import type { Digest } from '#core/images.ts';
import {
  WriteAction,
  type WriteContentRequestSchema,
  type WriteContentResponse,
} from '#proto/gen/containerd/services/content/v1/content_pb.ts';
import type { ProxyConnection } from './connection.ts';
import type { Exchange } from './exchange.ts';

export type WriteRequest = MessageInitShape<typeof WriteContentRequestSchema>;
type UploadCall = Exchange<WriteRequest, WriteContentResponse>;

interface WriterParts {
  readonly ref: string;
  readonly connection: ProxyConnection;
  /** What the blob is to bear. */
  readonly labels: () => Labels;
  readonly start: () => UploadCall;
  readonly committed: (digest: Digest) => void;
  readonly closed: () => void;
}

/** Bytes in one message. */
const PIECE = 1024 * 1024;
/** How long the remote side may take to let go of an upload. */
const CLOSE_MS = 10_000;

/** One upload to a remote content store. */
export class ContentProxyWriter implements BlobWriter {
  readonly #parts: WriterParts;
  #call: UploadCall | undefined;
  #offset = 0;
  #gone: string | undefined;
  #dropped: string | undefined;
  #committed = false;
  /** What was asked last: one thing goes after the other. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  static async open(parts: WriterParts): Promise<ContentProxyWriter> {
    const writer = new ContentProxyWriter(parts);
    await writer.#stat();
    return writer;
  }

  get offset(): number {
    return this.#offset;
  }

  async write(data: Uint8Array, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#inTurn(signal, async () => {
      for (let at = 0; at < data.length; at += PIECE) {
        const piece = data.subarray(at, at + PIECE);
        await this.#ask({ action: WriteAction.WRITE, offset: BigInt(this.#offset), data: piece });
        this.#offset += piece.length;
      }
    });
  }

  async truncate(size: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#inTurn(signal, async () => {
      if (size > this.#offset)
        throw new HakoError('out-of-range', `ingest "${this.#parts.ref}" has ${this.#offset} bytes, not ${size}`);
      if (size === this.#offset) return;
      if (size !== 0)
        throw new HakoError('unimplemented', "containerd's content service goes back to the beginning only");
      await this.#ask({ action: WriteAction.WRITE, offset: 0n });
      this.#offset = 0;
    });
  }

  digest(signal: AbortSignal): Promise<Digest> {
    signal.throwIfAborted();
    return this.#inTurn(signal, async () => (await this.#stat()).digest);
  }

  async commit(expected: { size?: number; digest?: Digest }, signal: AbortSignal): Promise<Digest> {
    signal.throwIfAborted();
    return this.#inTurn(signal, async () => {
      const { size = this.#offset, digest = '' } = expected;
      if (size !== this.#offset)
        throw new HakoError('failed-precondition', `unexpected commit size ${this.#offset}, expected ${size}`);
      const actual = (await this.#stat()).digest;
      // Of another algorithm only the remote side knows.
      if (digest !== '' && digest !== actual && digest.split(':')[0] === actual.split(':')[0])
        throw new HakoError('failed-precondition', `unexpected commit digest ${actual}, expected ${digest}`);
      const committed = await this.#commit(digest === '' ? actual : digest);
      this.#committed = true;
      this.#parts.committed(committed);
      return committed;
    });
  }

  async close(): Promise<void> {
    if (this.#gone !== undefined) return;
    this.#gone = 'is closed';
    await this.#last.catch(() => {});
    try {
      await this.#end();
    } finally {
      this.#parts.closed();
    }
  }

  /** Breaks off what is under way; `why` completes "the upload …". */
  async drop(why: string): Promise<void> {
    if (this.#gone !== undefined) return;
    this.#gone = this.#dropped = why;
    this.#call?.cancel(new HakoError('failed-precondition', `the upload ${why}`));
    this.#call = undefined;
    await this.#last.catch(() => {});
    this.#parts.closed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #commit(digest: Digest): Promise<Digest> {
    try {
      const reply = await this.#ask({
        action: WriteAction.COMMIT,
        offset: BigInt(this.#offset),
        total: BigInt(this.#offset),
        expected: digest,
        labels: { ...this.#parts.labels() },
      });
      await this.#end();
      return reply.digest;
    } catch (error) {
      if (codeOf(error) !== 'already-exists') throw error;
      return digest;
    }
  }

  /** One thing after the other. A caller who gives up leaves the answer to nobody, and the call is broken off. */
  #inTurn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    // One that closes waits for what was asked before.
    const gone = this.#gone;
    const turn = this.#last.then(async () => {
      const over = gone ?? this.#dropped ?? (this.#committed ? 'is committed' : undefined);
      if (over !== undefined) throw new HakoError('failed-precondition', `the upload ${over}`);
      signal.throwIfAborted();
      return this.#parts.connection.ask(work);
    });
    this.#last = turn.catch(() => {});
    return abortable(turn, signal).catch((error: unknown) => {
      if (signal.aborted) this.#call?.cancel(new HakoError('cancelled', 'the caller gave up'));
      throw error;
    });
  }

  async #stat(): Promise<WriteContentResponse> {
    const status = await this.#ask({ action: WriteAction.STAT });
    this.#offset = Number(status.offset);
    return status;
  }

  /** A call that has ended, because of an error, is begun again: the remote side kept the bytes. */
  async #ask(request: WriteRequest): Promise<WriteContentResponse> {
    this.#call ??= this.#parts.start();
    const call = this.#call;
    try {
      return await call.ask({ ...request, ref: this.#parts.ref });
    } catch (error) {
      if (this.#call === call) this.#call = undefined;
      throw error;
    }
  }

  async #end(): Promise<void> {
    const call = this.#call;
    this.#call = undefined;
    if (call === undefined) return;
    try {
      await abortable(call.end(), AbortSignal.timeout(CLOSE_MS));
    } catch {
      // What it had to say was said when it was asked; the remote side keeps the bytes either way.
      call.cancel(new HakoError('cancelled', 'the upload is closed'));
    }
  }
}
