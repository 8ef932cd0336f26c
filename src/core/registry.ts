import type { Digest, Descriptor } from './images.ts';

/** Given by a client with a request (X-Registry-Auth), never stored and never logged. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly identityToken?: string;
  /** A whole Authorization header, sent as it is; the rest does not count then. */
  readonly header?: string;
}

/** What a client answers that is asked how to log in at a host. */
export type Authorization =
  | { readonly type: 'none' }
  | { readonly type: 'credentials'; readonly username: string; readonly secret: string }
  /** `secret` is a refresh token (Docker's identity token). */
  | { readonly type: 'refresh'; readonly username?: string; readonly secret: string }
  /** `secret` is an Authorization header. */
  | { readonly type: 'header'; readonly secret: string };

/**
 * One object serves a whole pull or push: what `authorize` says is remembered with it, so that a client is asked once a
 * host and not once a layer.
 */
export interface RegistryOptions {
  readonly credentials?: Credentials;
  /**
   * Asks the client, when `host` wants a login; `challenges` are its WWW-Authenticate headers. Undefined or `none` leaves
   * it to this machine's own logins.
   */
  readonly authorize?: (
    host: string,
    reference: string,
    challenges: readonly string[],
    signal: AbortSignal,
  ) => Promise<Authorization | undefined>;
  /** Sent with each request to the registry and its mirrors, not to where they redirect to. */
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  /** A directory with hosts.toml files, instead of this machine's own. */
  readonly hostsDir?: string;
  /** The scheme of a registry that hosts.toml says nothing about. */
  readonly defaultScheme?: 'http' | 'https';
  /** Hears the heads of requests and answers, as they go over the wire but for secrets. */
  readonly observe?: (text: string) => void;
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
    options: RegistryOptions,
    signal: AbortSignal,
    from?: string,
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
