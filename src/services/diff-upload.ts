import { randomBytes } from 'node:crypto';
import type { Call } from '#base/call.ts';
import { codeOf } from '#base/errors.ts';
import type { Labels } from '#core/any.ts';
import type { LayerSink } from '#core/differs.ts';
import type { Digest } from '#core/images.ts';
import type { Content, ContentWriter } from './content.ts';

const uncompressed = 'containerd.io/uncompressed';

/** A layer on its way into the content store. It begins when the first bytes come: a refused one leaves nothing. */
export class DiffUpload implements LayerSink, AsyncDisposable {
  readonly ref: string;
  readonly #call: Call;
  readonly #content: Content;
  /** Whether the upload is the caller's, to be left for another try. */
  readonly #named: boolean;
  #writer: ContentWriter | undefined;

  constructor(call: Call, content: Content, ref: string) {
    this.#call = call;
    this.#content = content;
    this.#named = ref !== '';
    this.ref = ref === '' ? `${process.hrtime.bigint()}-${randomBytes(3).toString('base64url')}` : ref;
  }

  async write(data: Uint8Array): Promise<void> {
    await (await this.#open()).write(data);
  }

  async restart(): Promise<void> {
    await this.#writer?.truncate(0);
  }

  /** Gives the digest. A blob that was there before keeps its labels, and learns its diffID if it lacks one. */
  async commit(labels: Labels): Promise<Digest> {
    const writer = await this.#open();
    const digest = await writer.digest();
    await writer.commit({ labels }).catch((error: unknown) => {
      if (codeOf(error) !== 'already-exists') throw error;
    });
    const diffId = labels[uncompressed];
    const known = this.#content.info(this.#call, digest).labels;
    if (diffId !== undefined && known[uncompressed] === undefined) {
      const given = { digest, labels: { [uncompressed]: diffId } };
      await this.#content.update(this.#call, given, [`labels.${uncompressed}`]);
    }
    return digest;
  }

  /** Gives up what was written, unless the caller has a name for it. */
  async abandon(call: Call): Promise<void> {
    if (this.#writer === undefined) return;
    await this.#writer.close();
    if (this.#named) return;
    await this.#content.abort(call, this.ref).catch((error: unknown) => {
      if (codeOf(error) !== 'not-found') throw error;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer?.close();
  }

  async #open(): Promise<ContentWriter> {
    if (this.#writer !== undefined) return this.#writer;
    this.#writer = await this.#content.writer(this.#call, { ref: this.ref });
    if (this.#writer.status().offset > 0) await this.#writer.truncate(0);
    return this.#writer;
  }
}
