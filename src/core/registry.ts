import type { Digest, Descriptor } from './images.ts';

/** Given by a client with a request (X-Registry-Auth), never stored and never logged. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly identityToken?: string;
}

export interface RegistryOptions {
  readonly credentials?: Credentials;
  /** Overrides hosts.toml for this request. */
  readonly plainHttp?: boolean;
  readonly skipVerify?: boolean;
}

/**
 * Finds and moves blobs by the OCI distribution spec. References are full (`docker.io/library/alpine:latest`,
 * `base/reference.ts`). Errors say host, what was asked and what to do: unknown image `not-found`, no access
 * `unauthenticated` or `permission-denied`, a registry that is down or untrusted `unavailable`.
 */
export interface Registry {
  /** The descriptor a reference points at now. */
  resolve(reference: string, options: RegistryOptions, signal: AbortSignal): Promise<Descriptor>;
  /** The bytes of a manifest or blob from `offset`. Unverified: whoever stores them checks the digest. */
  fetch(
    reference: string,
    target: Descriptor,
    offset: number,
    options: RegistryOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
  /** Uploads a blob unless it is there, mounting it from `from` (a repository of the same registry) where possible. */
  pushBlob(
    reference: string,
    target: Descriptor,
    data: () => AsyncIterable<Uint8Array>,
    options: RegistryOptions & { from?: string },
    signal: AbortSignal,
  ): Promise<'pushed' | 'exists' | 'mounted'>;
  /** Uploads a manifest under the reference's tag or digest. */
  pushManifest(
    reference: string,
    target: Descriptor,
    bytes: Uint8Array,
    options: RegistryOptions,
    signal: AbortSignal,
  ): Promise<Digest>;
}
