import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { Digest } from '#core/images.ts';
import type { RegistryOptions } from '#core/registry.ts';

export interface PushProgress {
  readonly digest: Digest;
  readonly stage: 'waiting' | 'pushing' | 'pushed' | 'exists' | 'mounted';
  readonly bytes: number;
  readonly total: number;
}

/** Sends images to registries. */
export class Pushes {
  push(
    _call: Call,
    _reference: string,
    _options: RegistryOptions,
    _progress: (event: PushProgress) => void,
  ): Promise<Digest> {
    throw unimplemented('pushes.push');
  }
}
