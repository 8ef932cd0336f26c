import type { Labels } from '#core/any.ts';
import type { Descriptor, Platform } from '#core/images.ts';
import type { RegistryOptions } from '#core/registry.ts';
import type { UnpackTarget } from '../pull-options.ts';

/** What images are moved from and to. */
export type TransferEnd = RegistryEnd | StoreEnd | ImportEnd | ExportEnd;

export interface RegistryEnd {
  readonly kind: 'registry';
  readonly reference: string;
  readonly options: RegistryOptions;
}

/** Images by name. */
export interface StoreEnd {
  readonly kind: 'store';
  /** Empty where only `references` count. */
  readonly name: string;
  readonly labels: Labels;
  /** What is fetched, imported or pushed of an index; empty for all. */
  readonly platforms: readonly Platform[];
  readonly allMetadata: boolean;
  /** At most so many manifests of an index, the best first; 0 for all. */
  readonly manifestLimit: number;
  readonly references: readonly NameRule[];
  readonly unpacks: readonly UnpackTarget[];
}

/** A further name, or with `isPrefix` how names in an archive become names of images. */
export interface NameRule {
  readonly name: string;
  readonly isPrefix: boolean;
  /** A full name in the archive counts as it is, whether or not it has our prefix. */
  readonly allowOverwrite: boolean;
  readonly addDigest: boolean;
  /** Adds the digest only where no name was found. */
  readonly skipNamedDigest: boolean;
}

/** An archive that comes in. */
export interface ImportEnd {
  readonly kind: 'import';
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Compressed archives are recognised. */
  readonly compressed: boolean;
  /** Compresses layers that are not, where the archive has no manifests of its own. */
  readonly forceCompress: boolean;
}

/** An archive that goes out. */
export interface ExportEnd extends ExportOptions {
  readonly kind: 'export';
  readonly write: (bytes: Uint8Array) => Promise<void>;
}

export interface ExportOptions {
  /** Empty for this machine's. */
  readonly platforms: readonly Platform[];
  /** All manifests of an index, and not only those of `platforms`. */
  readonly allPlatforms: boolean;
  /** No manifest.json, by which Docker reads the archive. */
  readonly skipDockerManifest: boolean;
  readonly skipNonDistributable: boolean;
  /** Manifests whose blobs are not all here go without them, and missing manifests do not go at all. */
  readonly skipMissing?: boolean;
}

/** What a transfer tells while it goes; without a name it is about the whole. */
export interface TransferProgress {
  readonly event: string;
  readonly name?: string;
  readonly parents?: readonly string[];
  readonly progress?: number;
  readonly total?: number;
  readonly target?: Descriptor;
}
