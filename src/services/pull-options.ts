import type { Labels } from '#core/any.ts';
import type { Descriptor, Digest, Image, Platform } from '#core/images.ts';
import type { RegistryOptions } from '#core/registry.ts';

/** What to unpack an image of a platform into. */
export interface UnpackTarget {
  readonly platform: Platform;
  /** The default one when empty or absent. */
  readonly snapshotter?: string;
}

/**
 * There are two ways to choose of an index. Docker's: the one image that runs best here or on `platform`; it has to be an
 * image, and it is unpacked. containerd's, as soon as `platforms` is given: everything for these platforms, and what says
 * nothing about its platform; artifacts, too; unpacked is what `unpack` names.
 */
export interface PullOptions extends RegistryOptions {
  readonly platform?: Platform;
  readonly platforms?: readonly Platform[] | 'all';
  /** Into which snapshotter, where `platforms` is not given. */
  readonly snapshotter?: string;
  /** The first one whose platform can run the image counts. By default this machine's platform, default snapshotter. */
  readonly unpack?: readonly UnpackTarget[] | 'none';
  /** Also the manifests and configs of the other platforms. */
  readonly allMetadata?: boolean;
  /** At most so many manifests of an index, the best first; not-found when there is none. 0 is no limit. */
  readonly manifestLimit?: number;
  /** Names for the image instead of the reference. As they are: none is normalized. */
  readonly names?: readonly string[];
  /** Added to those that the image has. */
  readonly labels?: Labels;
  /** Downloads side by side in this pull. */
  readonly maxDownloads?: number;
  /** Sync the unpacked trees before the image gets its name; default true. Without it a power cut may tear them. */
  readonly syncFs?: boolean;
}

/** One object on its way, manifests and configs too. Each stage is told once but for `downloading` and `extracting`. */
export interface ObjectProgress {
  readonly kind: 'object';
  readonly stage: 'waiting' | 'exists' | 'downloading' | 'complete' | 'extracting' | 'extracted';
  /** As containerd's clients name downloads: `layer-sha256:…`. */
  readonly name: string;
  /** Names of objects that lead here; the reference alone for the first one. */
  readonly parents: readonly string[];
  readonly target: Descriptor;
  /** Of `target.size`. */
  readonly bytes: number;
}

export type PullProgress =
  | { readonly kind: 'resolved'; readonly target: Descriptor }
  | ObjectProgress
  /** A layer that is unpacked, in the order of Docker's words. */
  | {
      readonly kind: 'layer';
      readonly digest: Digest;
      readonly stage: 'waiting' | 'exists' | 'downloading' | 'downloaded' | 'extracting' | 'done';
      readonly bytes: number;
      readonly total: number;
    }
  /** The image has this name now. */
  | { readonly kind: 'saved'; readonly image: Image }
  /** How long each stage took, in milliseconds; last. Download and unpack overlap. */
  | { readonly kind: 'timing'; readonly resolve: number; readonly download: number; readonly unpack: number };

export interface PushOptions extends RegistryOptions {
  /** The image's name here, where it is not the reference. As it is: it is not normalized. */
  readonly image?: string;
  /** Of an index, only what is for these platforms or says nothing of its platform. */
  readonly platforms?: readonly Platform[];
  readonly maxUploads?: number;
}

/** One blob on its way out. */
export interface PushProgress {
  readonly digest: Digest;
  readonly stage: 'waiting' | 'pushing' | 'pushed' | 'exists' | 'mounted';
  readonly bytes: number;
  readonly total: number;
}

/** One object on its way out, manifests too: theirs are `waiting`, then `pushed`. */
export interface PushedObject extends PushProgress {
  /** As containerd's clients name uploads: `layer-sha256:…`. */
  readonly name: string;
  /** Names of objects that lead here; the image's name alone for the first one. */
  readonly parents: readonly string[];
  readonly target: Descriptor;
}
