import type { Call } from '#base/call.ts';
import type { Differ } from '#core/differs.ts';
import type { Descriptor } from '#core/images.ts';
import type { Mount } from '#core/mounts.ts';
import type { Content } from './content.ts';

export interface DiffsParts {
  readonly content: Content;
  readonly differ: Differ;
}

/** Turns layers into trees and, later, trees into layers. */
export class Diffs {
  readonly #content: Content;
  readonly #differ: Differ;

  constructor(parts: DiffsParts) {
    this.#content = parts.content;
    this.#differ = parts.differ;
  }

  /** Unpacks a layer of this namespace into mounts; gives the descriptor of the uncompressed tar (the diffID). */
  async apply(
    call: Call,
    layer: Descriptor,
    mounts: readonly Mount[],
    progress?: (bytes: number) => void,
  ): Promise<Descriptor> {
    await using blob = await this.#content.open(call, layer.digest);
    return await this.#differ.apply(layer, blob, mounts, call.signal, progress);
  }
}
