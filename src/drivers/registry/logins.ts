import { formatReference, type Reference } from '#base/reference.ts';
import type { Authorization, Credentials, RegistryOptions } from '#core/registry.ts';
import { dockerCredentials } from './docker-config.ts';
import type { Endpoint } from './hosts.ts';

/** How long a login that was looked up serves: asking a helper program for each layer would be slow. */
const life = 15_000;

/** Who we are at a host: by what came with the request, by what its client says, by this machine's own logins. */
export class Logins {
  readonly #dockerConfig: string;
  readonly #found = new Map<string, { readonly until: number; readonly credentials: Credentials }>();
  /** What a client said, by the request it belongs to and the host. */
  readonly #said = new WeakMap<RegistryOptions, Map<string, Promise<Credentials | undefined>>>();

  constructor(dockerConfig: string) {
    this.#dockerConfig = dockerConfig;
  }

  async find(
    endpoint: Endpoint,
    name: Reference,
    options: RegistryOptions,
    challenges: readonly string[],
    signal: AbortSignal,
  ): Promise<Credentials | undefined> {
    // A login that came with the request is for the registry that was named, not for whoever mirrors it.
    const given = options.credentials;
    if (endpoint.upstream && given !== undefined && isLogin(given)) return given;
    const said = await this.#ask(endpoint.host, name, options, challenges, signal);
    if (said !== undefined) return said;
    const host = endpoint.upstream ? name.domain : endpoint.host;
    const known = this.#found.get(host);
    if (known !== undefined && known.until > Date.now()) return known.credentials;
    const credentials = await dockerCredentials(this.#dockerConfig, host, signal);
    if (credentials === undefined) this.#found.delete(host);
    else this.#found.set(host, { until: Date.now() + life, credentials });
    return credentials;
  }

  #ask(
    host: string,
    name: Reference,
    options: RegistryOptions,
    challenges: readonly string[],
    signal: AbortSignal,
  ): Promise<Credentials | undefined> {
    if (options.authorize === undefined) return Promise.resolve(undefined);
    const answers = this.#said.get(options) ?? new Map<string, Promise<Credentials | undefined>>();
    this.#said.set(options, answers);
    const before = answers.get(host);
    if (before !== undefined) return before;
    const answer = options.authorize(host, formatReference(name), challenges, signal).then(toCredentials);
    answers.set(host, answer);
    return answer;
  }
}

const isLogin = ({ username, identityToken, header }: Credentials): boolean =>
  username !== '' || identityToken !== undefined || header !== undefined;

/** Undefined where the client has nothing to say. */
function toCredentials(said: Authorization | undefined): Credentials | undefined {
  if (said === undefined || said.type === 'none' || said.secret === '') return undefined;
  if (said.type === 'header') return { username: '', password: '', header: said.secret };
  if (said.type === 'refresh') return { username: said.username ?? '', password: '', identityToken: said.secret };
  return { username: said.username, password: said.secret };
}
