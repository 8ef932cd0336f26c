import type { Call } from '#base/call.ts';
import { cleanupSignal } from '#base/call.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { silent, type Logger } from '#base/log.ts';
import type { Labels } from '#core/any.ts';
import type { ApplyOptions, Differ, DiffOptions, DiffScope, MadeLayer } from '#core/differs.ts';
import type { Descriptor } from '#core/images.ts';
import type { Mount } from '#core/mounts.ts';
import type { Content } from './content.ts';
import { DiffUpload } from './diff-upload.ts';

export interface DiffsParts {
  readonly content: Content;
  /** In the order in which they are asked: the first one that knows the layer has it. */
  readonly differs: readonly Differ[];
  /** Syncs after every layer, whether or not it is asked for. */
  readonly syncFs?: boolean;
  readonly logger?: Logger;
}

export interface DiffRequest {
  /** No mounts are an empty tree. */
  readonly left: readonly Mount[];
  readonly right: readonly Mount[];
  /** '' is an OCI layer in gzip. */
  readonly mediaType?: string;
  /** The upload to write it under, begun anew if it is there; '' is one of its own. */
  readonly ref?: string;
  readonly labels?: Labels;
  readonly sourceDateEpoch?: DiffOptions['sourceDateEpoch'];
}

const defaultMediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** Turns layers into trees, and trees into layers. */
export class Diffs {
  readonly #parts: DiffsParts;
  readonly #logger: Logger;

  constructor(parts: DiffsParts) {
    this.#parts = parts;
    this.#logger = parts.logger ?? silent;
  }

  /** Unpacks a layer of this namespace into mounts; gives the descriptor of the uncompressed tar (the diffID). */
  async apply(
    call: Call,
    layer: Descriptor,
    mounts: readonly Mount[],
    options: Omit<ApplyOptions, 'scope'> = {},
  ): Promise<Descriptor> {
    await using blob = await this.#parts.content.open(call, layer.digest);
    const syncFs = options.syncFs === true || this.#parts.syncFs === true;
    return await this.#ask((differ) =>
      differ.apply(layer, blob, mounts, call.signal, { ...options, syncFs, scope: scopeOf(call) }),
    );
  }

  /**
   * Makes the layer that turns `left` into `right`, stores it in this namespace and gives its descriptor. One that is
   * compressed says its diffID in the label `containerd.io/uncompressed`. Hold it by a lease, or something else.
   */
  async diff(call: Call, request: DiffRequest): Promise<Descriptor> {
    const mediaType = request.mediaType || defaultMediaType;
    const { content } = this.#parts;
    await using upload = new DiffUpload(call, content, request.ref ?? '');
    const { sourceDateEpoch } = request;
    const options: DiffOptions = {
      mediaType,
      ref: upload.ref,
      labels: request.labels ?? {},
      scope: scopeOf(call),
      ...(sourceDateEpoch === undefined ? {} : { sourceDateEpoch }),
    };
    try {
      const made = await this.#ask<MadeLayer>((differ) =>
        differ.diff(request.left, request.right, upload, call.signal, options),
      );
      if (made.kind === 'stored') return made.layer;
      const packed = /[+.](?:gzip|zstd)$/.test(mediaType);
      const labels = { ...request.labels, ...(packed ? { 'containerd.io/uncompressed': made.uncompressed } : {}) };
      const digest = await upload.commit(labels);
      return { mediaType, digest, size: content.info(call, digest).size };
    } catch (error) {
      await upload.abandon({ ...call, signal: cleanupSignal() }).catch((failure: unknown) => {
        this.#logger.log('warn', 'a half-made layer could not be removed', { error: messageOf(failure) });
      });
      throw error;
    }
  }

  /** Asks one differ after another until one does not say that it is not made for this. */
  async #ask<T>(ask: (differ: Differ) => Promise<T>): Promise<T> {
    let refusal: unknown = new HakoError('unimplemented', 'no differ is configured: not implemented');
    for (const differ of this.#parts.differs) {
      try {
        return await ask(differ);
      } catch (error) {
        if (codeOf(error) !== 'unimplemented') throw error;
        refusal = error;
      }
    }
    throw refusal;
  }
}

const scopeOf = ({ namespace, lease }: Call): DiffScope => ({
  namespace,
  ...(lease === undefined ? {} : { lease }),
});
