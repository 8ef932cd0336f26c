import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { Descriptor } from '#core/images.ts';
import type { Mount } from '#core/mounts.ts';

/** Turns layers into trees and, later, trees into layers. */
export class Diffs {
  /** Unpacks a layer of this namespace into mounts; gives the descriptor of the uncompressed tar (the diffID). */
  apply(
    _call: Call,
    _layer: Descriptor,
    _mounts: readonly Mount[],
    _progress?: (bytes: number) => void,
  ): Promise<Descriptor> {
    throw unimplemented('diffs.apply');
  }
}
