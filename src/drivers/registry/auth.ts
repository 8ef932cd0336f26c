import { createHash } from 'node:crypto';
import { HakoError } from '#base/errors.ts';
import { abortable } from '#base/locks.ts';
import type { Credentials } from '#core/registry.ts';
import { parseChallenges, type Challenge } from './challenge.ts';
import { faultOf } from './errors.ts';
import type { HttpClient } from './http.ts';
import type { TlsSettings } from './tls.ts';

/** Whom to ask as whom for what. */
export interface AuthRequest {
  /** Of the registry's address: tokens and challenges are remembered by it. */
  readonly origin: string;
  /** Whether it speaks TLS. */
  readonly secure: boolean;
  readonly host: string;
  readonly tls: TlsSettings;
  /** `repository:library/alpine:pull`. */
  readonly scopes: readonly string[];
  readonly credentials: Credentials | undefined;
}

interface Token {
  readonly header: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

const clientId = 'hakobune';
const tokenTimeout = 60_000;
const maxTokenBody = 1024 * 1024;
const maxRemembered = 512;
/** The least that a token lasts (distribution's token spec, "expires_in"), and how early we stop using one. */
const leastSeconds = 60;
const earlySeconds = 10;

/**
 * Proves who asks, by Basic or by Bearer tokens (distribution's token spec), and remembers challenges and tokens, so that
 * the layers of an image do not each ask for one. Secrets are kept in memory only while a token needs them.
 */
export class Authorizer {
  readonly #http: HttpClient;
  readonly #challenges = new Map<string, Challenge>();
  readonly #tokens = new Map<string, Promise<Token>>();

  constructor(http: HttpClient) {
    this.#http = http;
  }

  /** Whether this host wanted a login before. */
  remembers(request: AuthRequest): boolean {
    return this.#challenges.has(challengeKey(request));
  }

  /** The Authorization header for a request as far as it is known before asking; undefined when none is needed yet. */
  async known(request: AuthRequest, signal: AbortSignal): Promise<string | undefined> {
    const challenge = this.#challenges.get(challengeKey(request));
    return challenge === undefined ? undefined : this.#answer(challenge, request, signal);
  }

  /**
   * Answers a 401. Gives the header to try again with, undefined when there is nothing (more) to answer with.
   * `used` is what the refused request had: a token that was refused is not given again.
   */
  async challenged(
    header: string | undefined,
    used: string | undefined,
    request: AuthRequest,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const whole = request.credentials?.header;
    if (whole !== undefined) return whole === used ? undefined : whole;
    const offered = parseChallenges(header ?? '');
    const challenge =
      offered.find(({ scheme }) => scheme === 'bearer') ?? offered.find(({ scheme }) => scheme === 'basic');
    if (challenge === undefined) return undefined;
    remember(this.#challenges, challengeKey(request), challenge);
    if (used !== undefined) this.#tokens.delete(tokenKey(challenge, request));
    const answer = await this.#answer(challenge, request, signal);
    return answer === used ? undefined : answer;
  }

  async #answer(challenge: Challenge, request: AuthRequest, signal: AbortSignal): Promise<string | undefined> {
    if (request.credentials?.header !== undefined) return request.credentials.header;
    if (challenge.scheme === 'basic') return basic(request.credentials);
    const key = tokenKey(challenge, request);
    let token = this.#tokens.get(key);
    if (token !== undefined) {
      const settled = await abortable(token, signal).catch(() => undefined);
      signal.throwIfAborted();
      if (settled !== undefined && settled.expiresAt > Date.now()) return settled.header;
      if (this.#tokens.get(key) === token) this.#tokens.delete(key);
      token = this.#tokens.get(key);
    }
    if (token === undefined) {
      // Several callers wait for it, so it ends with none of them but by its own time-out.
      token = this.#fetchToken(challenge, request, AbortSignal.timeout(tokenTimeout));
      token.catch(() => this.#tokens.get(key) === token && this.#tokens.delete(key));
      remember(this.#tokens, key, token);
    }
    return (await abortable(token, signal)).header;
  }

  async #fetchToken(challenge: Challenge, request: AuthRequest, signal: AbortSignal): Promise<Token> {
    const { credentials, host } = request;
    const realm = tokenAddress(challenge, request);
    const scopes = allScopes(challenge, request);
    const { service } = challenge.parameters;
    const identity = credentials?.identityToken;
    const body = identity === undefined ? undefined : refreshForm(scopes, service, identity);
    if (body === undefined) {
      if (service !== undefined) realm.searchParams.append('service', service);
      for (const scope of scopes) realm.searchParams.append('scope', scope);
    }
    const authorization = identity === undefined ? basic(credentials) : undefined;
    const response = await this.#http.send(
      {
        method: body === undefined ? 'GET' : 'POST',
        url: realm,
        headers: {
          'user-agent': clientId,
          accept: 'application/json',
          ...(authorization === undefined ? {} : { authorization }),
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(body.length) }),
        },
        tls: request.tls,
        ...(body === undefined ? {} : { body }),
      },
      signal,
    );
    const text = await response.text(maxTokenBody);
    if (response.status !== 200) throw refused(host, realm.host, response.status, text, credentials);
    return readToken(host, realm.host, text);
  }
}

function basic(credentials: Credentials | undefined): string | undefined {
  if (credentials === undefined || credentials.username === '') return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8').toString('base64')}`;
}

/** The realm is the registry's to choose, but a password that came for TLS does not leave it. */
function tokenAddress(challenge: Challenge, { secure, host, credentials }: AuthRequest): URL {
  let realm: URL;
  try {
    realm = new URL(challenge.parameters['realm'] ?? '');
  } catch {
    throw new HakoError('unavailable', `registry "${host}": asks for a token but gives no address to get it from`);
  }
  if (realm.protocol !== 'https:' && realm.protocol !== 'http:') {
    throw new HakoError(
      'unavailable',
      `registry "${host}": its token server has an address that is neither http nor https`,
    );
  }
  if (realm.protocol === 'http:' && secure && credentials !== undefined) {
    throw new HakoError(
      'unavailable',
      `registry "${host}": its token server "${realm.host}" speaks plain HTTP: no login is sent there`,
    );
  }
  realm.username = '';
  realm.password = '';
  return realm;
}

/**
 * Ours, and what the registry asks for besides: one behind a prefix knows its repository under another name. Actions on
 * the same thing become one scope in one order, since registries list them in any, and each wording would be a new token.
 */
function allScopes(challenge: Challenge, { scopes }: AuthRequest): string[] {
  const merged = new Map<string, Set<string>>();
  for (const scope of [...scopes, ...(challenge.parameters['scope'] ?? '').split(' ')]) {
    const [, thing, actions] = /^(.+):([^:]*)$/.exec(scope) ?? [];
    if (thing === undefined || actions === undefined) continue;
    const known = merged.get(thing) ?? new Set();
    for (const action of actions.split(',')) known.add(action);
    merged.set(thing, known);
  }
  return [...merged].map(([thing, actions]) => `${thing}:${[...actions].toSorted().join(',')}`);
}

function refreshForm(scopes: readonly string[], service: string | undefined, identity: string): Uint8Array {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: clientId, refresh_token: identity });
  if (service !== undefined) form.set('service', service);
  if (scopes.length > 0) form.set('scope', scopes.join(' '));
  return Buffer.from(form.toString());
}

function refused(
  host: string,
  realm: string,
  status: number,
  text: string,
  credentials: Credentials | undefined,
): HakoError {
  if (status === 401 || status === 403) {
    if (credentials === undefined)
      return new HakoError('unauthenticated', `registry "${host}": access denied: a login is needed`);
    const user = credentials.username === '' ? 'the identity token' : `"${credentials.username}"`;
    return new HakoError(
      'unauthenticated',
      `registry "${host}": the login of ${user} was refused by "${realm}": check name and password`,
    );
  }
  const said = faultOf(text)?.message ?? '';
  const tail = said === '' ? '' : `: ${said}`;
  return new HakoError(
    'unavailable',
    `registry "${host}": its token server "${realm}" answered with status ${status}${tail}`,
  );
}

function readToken(host: string, realm: string, text: string): Token {
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown };
  try {
    answer = JSON.parse(text) as typeof answer;
  } catch {
    answer = {};
  }
  const token = answer.token ?? answer.access_token;
  // Line breaks in it would let a token server write headers of its own.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new HakoError('unavailable', `registry "${host}": its token server "${realm}" gave no token`);
  }
  const seconds = typeof answer.expires_in === 'number' ? Math.max(answer.expires_in, leastSeconds) : leastSeconds;
  return { header: `Bearer ${token}`, expiresAt: Date.now() + (seconds - earlySeconds) * 1000 };
}

const challengeKey = ({ origin, scopes }: AuthRequest): string => `${origin} ${scopes.join(' ')}`;

/** The login goes in as a sum only, so that no map holds a password. */
function tokenKey(challenge: Challenge, request: AuthRequest): string {
  const { credentials } = request;
  const who = credentials === undefined ? '' : createHash('sha256').update(JSON.stringify(credentials)).digest('hex');
  return JSON.stringify([
    request.origin,
    challenge.parameters['realm'],
    challenge.parameters['service'],
    allScopes(challenge, request),
    who,
  ]);
}

/** A map in the order of use, with a bound. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxRemembered) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
