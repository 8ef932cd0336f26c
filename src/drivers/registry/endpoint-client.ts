import { HakoError } from '#base/errors.ts';
import type { Credentials } from '#core/registry.ts';
import type { Authorizer } from './auth.ts';
import { statusError, type Asked } from './errors.ts';
import type { Endpoint } from './hosts.ts';
import type { HttpClient, HttpRequest } from './http.ts';
import type { HttpResponse } from './response.ts';
import { withRetries, type RetryPolicy } from './retry.ts';
import { plainTls } from './tls.ts';

export const userAgent = 'hakobune';

export interface EndpointParts {
  readonly http: HttpClient;
  readonly authorizer: Authorizer;
  readonly retries: RetryPolicy;
  readonly endpoint: Endpoint;
  /** `library/alpine`. */
  readonly repository: string;
  readonly action: 'pull' | 'push';
  /** Another repository to read from, for mounting a blob across. */
  readonly from?: string | undefined;
  readonly observe?: ((text: string) => void) | undefined;
  /** Asked only when the registry wants to know, and with what it said. */
  readonly credentials: (challenges: readonly string[], signal: AbortSignal) => Promise<Credentials | undefined>;
}

export interface Question {
  readonly method: HttpRequest['method'];
  /** Below the repository (`blobs/sha256:…`), or an address that the registry gave. */
  readonly to: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | (() => AsyncIterable<Uint8Array>);
  /** Send once: what the first try left at the other side spoils a second one. */
  readonly once?: boolean;
}

/** One repository at one host: knows how to log in there, and asks again where that may help. */
export class EndpointClient {
  readonly #parts: EndpointParts;
  readonly #origin: string;
  #credentials: Promise<Credentials | undefined> | undefined;
  #user: string | undefined;

  constructor(parts: EndpointParts) {
    this.#parts = parts;
    this.#origin = new URL(parts.endpoint.base).origin;
  }

  get endpoint(): Endpoint {
    return this.#parts.endpoint;
  }

  /** The answer, whatever its status, after logging in and after retries. */
  ask(question: Question, signal: AbortSignal): Promise<HttpResponse> {
    const { retries } = this.#parts;
    return withRetries(
      question.once === true ? { ...retries, attempts: 1 } : retries,
      () => this.#askOnce(question, signal),
      signal,
    );
  }

  /** The error for `response`; reads what the registry says about it. */
  async failure(response: HttpResponse, what: string): Promise<HakoError> {
    const body = await response.text().catch(() => '');
    const { endpoint, action } = this.#parts;
    const asked: Asked = { host: endpoint.host, what, action, user: this.#user };
    return statusError(asked, response.status, body);
  }

  async #askOnce(question: Question, signal: AbortSignal): Promise<HttpResponse> {
    const { authorizer } = this.#parts;
    const url = this.#address(question);
    if (!this.#isOwn(url)) return this.#askStranger(question, url, signal);
    let authorization = await authorizer.known(await this.#authRequest(signal), signal);
    // Twice at most: a token may have been revoked before its time, and a challenge may have changed.
    for (let round = 1; ; round++) {
      const response = await this.#send(question, url, authorization, signal);
      if (response.status !== 401 || round === 3) return response;
      const challenge = response.header('www-authenticate');
      const request = await this.#authRequest(signal, challenge === undefined ? [] : [challenge]);
      const next = await authorizer.challenged(challenge, authorization, request, signal);
      if (next === undefined || next === authorization) return response;
      response.discard();
      authorization = next;
    }
  }

  #send(question: Question, url: URL, authorization: string | undefined, signal: AbortSignal): Promise<HttpResponse> {
    const { http, endpoint, observe } = this.#parts;
    return http.send(
      {
        method: question.method,
        url,
        headers: {
          'user-agent': userAgent,
          ...endpoint.headers,
          ...question.headers,
          ...(authorization === undefined ? {} : { authorization }),
        },
        tls: endpoint.tls,
        dialTimeout: endpoint.dialTimeout,
        httpFallback: endpoint.httpFallback,
        observe,
        ...(question.body === undefined ? {} : { body: question.body }),
      },
      signal,
    );
  }

  /** An upload may be sent elsewhere; that place gets the bytes, no login and no headers of ours. */
  #askStranger(question: Question, url: URL, signal: AbortSignal): Promise<HttpResponse> {
    const { http, endpoint, observe } = this.#parts;
    if (url.protocol !== 'https:' && (url.protocol !== 'http:' || this.#secure)) {
      throw new HakoError(
        'unavailable',
        `registry "${endpoint.host}": sends uploads from TLS to "${url.protocol}//${url.host}": refused`,
      );
    }
    return http.send(
      {
        method: question.method,
        url,
        headers: { 'user-agent': userAgent, ...question.headers },
        tls: { ...plainTls, ca: endpoint.tls.ca, skipVerify: endpoint.tls.skipVerify },
        observe,
        ...(question.body === undefined ? {} : { body: question.body }),
      },
      signal,
    );
  }

  get #secure(): boolean {
    return this.#origin.startsWith('https:') && !this.#parts.http.fellBack(this.#origin);
  }

  #address({ to, query = {} }: Question): URL {
    const { endpoint, repository, action } = this.#parts;
    const url = typeof to === 'string' ? new URL(`${endpoint.base}/${repository}/${to}`) : new URL(to);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    if (typeof to === 'string' && endpoint.namespace !== undefined && action === 'pull')
      url.searchParams.set('ns', endpoint.namespace);
    return url;
  }

  #isOwn(url: URL): boolean {
    if (url.origin === this.#origin) return true;
    // With the fallback in use the registry names itself by http.
    return this.#parts.endpoint.httpFallback && url.host === new URL(this.#origin).host && url.protocol === 'http:';
  }

  async #authRequest(signal: AbortSignal, challenges?: readonly string[]): Promise<Parameters<Authorizer['known']>[0]> {
    const { endpoint, repository, action, from, authorizer } = this.#parts;
    const scopes = [
      `repository:${repository}:${action === 'push' ? 'pull,push' : 'pull'}`,
      ...(from === undefined || from === repository ? [] : [`repository:${from}:pull`]),
    ];
    const anonymous = {
      origin: this.#origin,
      secure: this.#secure,
      host: endpoint.host,
      tls: endpoint.tls,
      scopes,
      credentials: undefined,
    };
    if (challenges === undefined && !authorizer.remembers(anonymous)) return anonymous;
    this.#credentials ??= this.#parts.credentials(challenges ?? [], signal);
    const credentials = await this.#credentials;
    this.#user = credentials === undefined ? undefined : credentials.username || 'the identity token';
    return { ...anonymous, credentials };
  }
}
