import { webcrypto } from 'node:crypto';
import { parseDigest } from '#base/digest.ts';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import { silent, type Logger } from '#base/log.ts';
import { familiarName, formatReference, normalizeReference, type Reference } from '#base/reference.ts';
import type { Descriptor, Digest } from '#core/images.ts';
import type { Registry, RegistryOptions } from '#core/registry.ts';
import { Authorizer } from './auth.ts';
import { defaultDockerConfig } from './docker-config.ts';
import { download, type FirstOf } from './download.ts';
import { EndpointClient } from './endpoint-client.ts';
import { checkHeaders, findEndpoints, type Capability, type Endpoint } from './hosts.ts';
import { defaultTimeouts, HttpClient, type Timeouts } from './http.ts';
import { Logins } from './logins.ts';
import type { HttpResponse } from './response.ts';
import { isManifestType, isSchema1, manifestTypeOf, manifestTypes } from './media-types.ts';
import { defaultRetries, type RetryPolicy } from './retry.ts';
import { uploadBlob, uploadManifest } from './upload.ts';

/** Manifests larger than this are refused: distribution itself takes 4 MiB. */
export const maxManifest = 8 * 1024 * 1024;

export const defaultConfigDirs = ['/etc/hakobune/certs.d', '/etc/containerd/certs.d', '/etc/docker/certs.d'] as const;

export interface RegistryClientOptions {
  /** Where hosts.toml files are, the first directory that knows a host wins. */
  readonly configDirs?: readonly string[];
  /** Docker's config.json. */
  readonly dockerConfig?: string;
  readonly timeouts?: Partial<Timeouts>;
  readonly retries?: Partial<RetryPolicy>;
  readonly logger?: Logger;
}

/** Speaks the OCI distribution spec with registries and their mirrors, over HTTP/1.1. */
export class RegistryClient implements Registry, Disposable {
  readonly #configDirs: readonly string[];
  readonly #retries: RetryPolicy;
  readonly #logger: Logger;
  readonly #http: HttpClient;
  readonly #authorizer: Authorizer;
  readonly #logins: Logins;

  constructor(options: RegistryClientOptions = {}) {
    this.#configDirs = options.configDirs ?? defaultConfigDirs;
    this.#logins = new Logins(options.dockerConfig ?? defaultDockerConfig());
    this.#retries = { ...defaultRetries, ...options.retries };
    this.#logger = options.logger ?? silent;
    this.#http = new HttpClient({ ...defaultTimeouts, ...options.timeouts });
    this.#authorizer = new Authorizer(this.#http);
  }

  /** Closes idle connections. */
  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
  }

  async resolve(reference: string, options: RegistryOptions, signal: AbortSignal): Promise<Descriptor> {
    const name = normalizeReference(reference);
    if (name.digest !== undefined) parseDigest(name.digest);
    // What a digest names cannot change, so a mirror that may only serve pulls can say it, too.
    const need = name.digest === undefined ? 'resolve' : 'pull';
    const firstOf = await this.#hosts(name, options, need, 'pull', signal);
    return firstOf((client) => this.#resolveAt(client, name, signal));
  }

  async fetch(
    reference: string,
    target: Descriptor,
    offset: number,
    options: RegistryOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    const name = normalizeReference(reference);
    parseDigest(target.digest);
    if (isManifestType(target.mediaType)) checkManifestSize(name.domain, target.digest, target.size);
    const firstOf = await this.#hosts(name, options, 'pull', 'pull', signal);
    return download(firstOf, name.path, target, offset, this.#retries, signal);
  }

  async pushBlob(
    reference: string,
    target: Descriptor,
    data: () => AsyncIterable<Uint8Array>,
    options: RegistryOptions,
    signal: AbortSignal,
    from?: string,
  ): Promise<'pushed' | 'exists' | 'mounted'> {
    const name = normalizeReference(reference);
    const client = await this.#pushHost(name, options, from, signal);
    return uploadBlob(client, name.path, target, data, from, this.#retries, signal);
  }

  async pushManifest(
    reference: string,
    target: Descriptor,
    bytes: Uint8Array,
    options: RegistryOptions,
    signal: AbortSignal,
  ): Promise<Digest> {
    const name = normalizeReference(reference);
    const client = await this.#pushHost(name, options, undefined, signal);
    return uploadManifest(client, shown(name), name.tag ?? name.digest ?? target.digest, target, bytes, signal);
  }

  /** All hosts that may do what is needed, to be tried in order. A mirror's failure is logged, the last host's is thrown. */
  async #hosts(
    name: Reference,
    options: RegistryOptions,
    need: Capability,
    action: 'pull' | 'push',
    signal: AbortSignal,
  ): Promise<FirstOf> {
    const endpoints = (await this.#endpoints(name, options)).filter(({ capabilities }) => capabilities.includes(need));
    if (endpoints.length === 0) throw this.#nobody(name.domain, need);
    const clients = endpoints.map((endpoint, at) => {
      // Where another host can be asked, nobody waits long for this one.
      const attempts = at < endpoints.length - 1 ? Math.min(this.#retries.attempts, 2) : this.#retries.attempts;
      return this.#client(endpoint, name, options, action, undefined, attempts);
    });
    return async (attempt) => {
      for (const [at, client] of clients.entries()) {
        try {
          return await attempt(client);
        } catch (error) {
          signal.throwIfAborted();
          if (at === clients.length - 1) throw error;
          const fields = { host: client.endpoint.host, code: codeOf(error), error: messageOf(error) };
          this.#logger.log(
            fields.code === 'not-found' ? 'debug' : 'warn',
            'mirror cannot serve, asking the next host',
            fields,
          );
        }
      }
      throw this.#nobody(name.domain, need);
    };
  }

  /** The first host that takes pushes: an image must not end up in halves at two. */
  async #pushHost(
    name: Reference,
    options: RegistryOptions,
    from: string | undefined,
    signal: AbortSignal,
  ): Promise<EndpointClient> {
    signal.throwIfAborted();
    const endpoints = await this.#endpoints(name, options);
    const endpoint = endpoints.find(({ capabilities }) => capabilities.includes('push'));
    if (endpoint === undefined) throw this.#nobody(name.domain, 'push');
    return this.#client(endpoint, name, options, 'push', from);
  }

  async #endpoints({ domain }: Reference, options: RegistryOptions): Promise<Endpoint[]> {
    const dirs = options.hostsDir === undefined ? this.#configDirs : [options.hostsDir];
    const endpoints = await findEndpoints(domain, dirs, options);
    const { headers } = options;
    if (headers === undefined) return endpoints;
    checkHeaders(headers);
    return endpoints.map((endpoint) => ({ ...endpoint, headers: { ...endpoint.headers, ...headers } }));
  }

  #nobody(domain: string, need: Capability): HakoError {
    return new HakoError(
      'failed-precondition',
      `registry "${domain}": its hosts.toml names no host with the capability "${need}"`,
    );
  }

  #client(
    endpoint: Endpoint,
    name: Reference,
    options: RegistryOptions,
    action: 'pull' | 'push',
    from: string | undefined,
    attempts = this.#retries.attempts,
  ): EndpointClient {
    return new EndpointClient({
      http: this.#http,
      authorizer: this.#authorizer,
      retries: { ...this.#retries, attempts },
      endpoint,
      repository: name.path,
      action,
      from,
      observe: options.observe,
      credentials: (challenges, signal) => this.#logins.find(endpoint, name, options, challenges, signal),
    });
  }

  async #resolveAt(client: EndpointClient, name: Reference, signal: AbortSignal): Promise<Descriptor> {
    const to = `manifests/${name.digest ?? name.tag ?? 'latest'}`;
    const headers = { accept: manifestTypes.join(', ') };
    const head = await client.ask({ method: 'HEAD', to, headers }, signal);
    head.discard();
    if (head.status === 200) {
      const found = describe(client.endpoint.host, name, head);
      if (found !== undefined) return found;
    }
    // A HEAD without what we need, or refused: the body has the digest, or the registry's own words.
    const response = await client.ask({ method: 'GET', to, headers }, signal);
    if (response.status !== 200) throw await client.failure(response, `image "${shown(name)}"`);
    return describeBody(client.endpoint.host, name, response);
  }
}

/** The image as the person knows it, without the registry, which stands before it in each message. */
function shown({ domain, path, tag, digest }: Reference): string {
  const name = domain === 'docker.io' ? familiarName({ domain, path }) : path;
  return `${name}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

function checkManifestSize(host: string, what: string, size: number): void {
  if (size > maxManifest)
    throw new HakoError(
      'resource-exhausted',
      `registry "${host}": manifest "${what}" has ${size} bytes, the limit is ${maxManifest}`,
    );
}

function checkType(host: string, name: Reference, mediaType: string): void {
  if (isSchema1(mediaType)) {
    throw new HakoError(
      'invalid-argument',
      `registry "${host}": image "${shown(name)}" is of Docker's schema 1, which is no longer supported: push it again with a newer tool`,
    );
  }
}

/** What the headers of an answer say, undefined when they do not say enough. */
function describe(host: string, name: Reference, response: HttpResponse): Descriptor | undefined {
  const mediaType = (response.header('content-type') ?? '').split(';', 1)[0]?.trim() ?? '';
  checkType(host, name, mediaType);
  const digest = name.digest ?? response.header('docker-content-digest');
  const size = Number(response.header('content-length') ?? Number.NaN);
  if (!isManifestType(mediaType) || digest === undefined || !Number.isSafeInteger(size) || size <= 0) return undefined;
  checkDigest(host, name, digest, response.header('docker-content-digest'));
  checkManifestSize(host, shown(name), size);
  return { mediaType, digest, size };
}

function checkDigest(host: string, name: Reference, digest: string, told: string | undefined): void {
  try {
    parseDigest(digest);
  } catch (error) {
    throw new HakoError('data-loss', `registry "${host}": gives image "${shown(name)}" a digest that is none`, error);
  }
  if (told !== undefined && told.split(':', 1)[0] === digest.split(':', 1)[0] && told !== digest) {
    throw new HakoError(
      'data-loss',
      `registry "${host}": asked for image "${formatReference(name)}", it answers with ${told}`,
    );
  }
}

/** The same from the manifest itself. */
async function describeBody(host: string, name: Reference, response: HttpResponse): Promise<Descriptor> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body()) {
    chunks.push(chunk);
    size += chunk.length;
    checkManifestSize(host, shown(name), size);
  }
  const bytes = Buffer.concat(chunks);
  const header = (response.header('content-type') ?? '').split(';', 1)[0]?.trim() ?? '';
  const mediaType = isManifestType(header) || isSchema1(header) ? header : manifestTypeOf(bytes.toString('utf8'));
  if (mediaType === undefined || (!isManifestType(mediaType) && !isSchema1(mediaType))) {
    throw new HakoError(
      'failed-precondition',
      `registry "${host}": image "${shown(name)}" has a manifest of type "${mediaType ?? header}", which is no image`,
    );
  }
  checkType(host, name, mediaType);
  // In the thread pool: the event loop does not hash.
  const hash = await webcrypto.subtle.digest('SHA-256', bytes);
  const counted = `sha256:${Buffer.from(hash).toString('hex')}`;
  const digest = name.digest?.startsWith('sha256:') === false ? name.digest : counted;
  checkDigest(host, name, digest, name.digest);
  return { mediaType, digest, size };
}
