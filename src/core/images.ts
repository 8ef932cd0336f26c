import type { Labels } from './any.ts';

/** `sha256:` and 64 hex digits; `base/digest.ts` checks it. */
export type Digest = string;

/** OCI image-spec, descriptor.md. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
  readonly artifactType?: string;
  /** Where else the bytes are: of foreign layers, which registries need not keep. */
  readonly urls?: readonly string[];
}

/** OCI image-spec, image-index.md: where an image runs. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
}

/** A name for a target in the content store. */
export interface Image {
  readonly name: string;
  readonly labels: Labels;
  readonly target: Descriptor;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}
