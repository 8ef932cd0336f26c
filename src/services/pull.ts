import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { Descriptor, Image, Platform } from '#core/images.ts';
import type { RegistryOptions } from '#core/registry.ts';

export type PullProgress =
  | { readonly kind: 'resolved'; readonly target: Descriptor }
  | {
      readonly kind: 'layer';
      readonly digest: string;
      readonly stage: 'waiting' | 'exists' | 'downloading' | 'downloaded' | 'extracting' | 'done';
      readonly bytes: number;
      readonly total: number;
    }
  /** How long each stage took, in milliseconds; last. */
  | { readonly kind: 'timing'; readonly resolve: number; readonly download: number; readonly unpack: number };

export interface PullOptions extends RegistryOptions {
  readonly platform?: Platform;
  readonly snapshotter?: string;
}

/** Brings images from registries: whole, or not at all. Equal layers are fetched once however many ask. */
export class Pulls {
  pull(
    _call: Call,
    _reference: string,
    _options: PullOptions,
    _progress: (event: PullProgress) => void,
  ): Promise<Image> {
    throw unimplemented('pulls.pull');
  }
}
