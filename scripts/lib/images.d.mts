import type { Entry } from './tar.mjs';

export interface ImagePlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}
export interface ImageDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}
/** A whole image in memory. `blobs` has the layers and the config; `target` describes `manifest`. */
export interface MadeImage {
  readonly target: ImageDescriptor;
  readonly manifest: Buffer;
  readonly blobs: Map<string, Buffer>;
  readonly config: ImageDescriptor;
  readonly layers: readonly ImageDescriptor[];
  readonly platform: ImagePlatform;
}
export interface MadeIndex {
  readonly target: ImageDescriptor;
  readonly manifest: Buffer;
  readonly images: readonly MadeImage[];
}
export interface ImageConfig {
  readonly [key: string]: unknown;
}

export const hostPlatform: ImagePlatform;
export function makeImage(options: {
  layers: readonly (readonly Entry[])[];
  config?: ImageConfig;
  platform?: ImagePlatform;
  annotations?: Readonly<Record<string, string>>;
}): MadeImage;
export function makeIndex(images: readonly MadeImage[]): MadeIndex;
/** Where a statically linked busybox is on this machine; undefined when there is none. */
export function findBusybox(): { path: string; bytes: Buffer } | undefined;
export function busyboxEntries(busybox: { path: string; bytes: Buffer }): Entry[];
/** A real image out of the machine's own static busybox. */
export function busyboxImage(options?: {
  extraLayers?: readonly (readonly Entry[])[];
  config?: ImageConfig;
}): MadeImage;
/** Uploads an image or index to `registry` (`http://127.0.0.1:5000`) as `repository:tag`; `auth` is `user:password`. */
export function pushImage(
  registry: string,
  repository: string,
  tag: string,
  image: MadeImage | MadeIndex,
  options?: { ca?: string | Uint8Array; auth?: string },
): Promise<void>;
