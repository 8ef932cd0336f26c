import http from 'node:http';
import https from 'node:https';
import { HakoError } from '#base/errors.ts';
import { isTlsMismatch, NetworkError, networkError } from './errors.ts';
import { requestHead, responseHead } from './heads.ts';
import { Incoming, type HttpResponse } from './response.ts';
import { secureOptions, type TlsSettings } from './tls.ts';

/** Milliseconds. `idle` is the longest silence in the middle of a body. */
export interface Timeouts {
  readonly dial: number;
  readonly header: number;
  readonly idle: number;
}

export const defaultTimeouts: Timeouts = { dial: 30_000, header: 60_000, idle: 60_000 };

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly tls: TlsSettings;
  readonly dialTimeout?: number | undefined;
  /** Try plain HTTP on the same port where TLS meets a server that does not speak it. Loopback only. */
  readonly httpFallback?: boolean;
  readonly body?: Uint8Array | (() => AsyncIterable<Uint8Array>);
  readonly observe?: ((text: string) => void) | undefined;
}

const maxRedirects = 10;
const redirects = new Set([301, 302, 303, 307, 308]);
/** What belongs to the first host alone. Everything that hosts.toml adds does, too: see `follow`. */
const harmless = new Set(['accept', 'user-agent', 'range']);

/** Requests over kept connections, with time-outs, and redirects that carry no secrets to other hosts. */
export class HttpClient implements Disposable {
  readonly #timeouts: Timeouts;
  readonly #agents = new Map<string, http.Agent>();
  /** Origins found to speak plain HTTP behind an https address, on loopback. */
  readonly #plain = new Set<string>();

  constructor(timeouts: Timeouts = defaultTimeouts) {
    this.#timeouts = timeouts;
  }

  [Symbol.dispose](): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  /** Whether the fallback to plain HTTP is in use there. */
  fellBack(origin: string): boolean {
    return this.#plain.has(origin);
  }

  /** Sends, follows redirects of GET and HEAD, and gives the answer, whatever its status. */
  async send(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
    let current = request;
    for (let hop = 0; hop <= maxRedirects; hop++) {
      const response = await this.#sendOnce(current, signal);
      const location = response.header('location');
      const readOnly = current.method === 'GET' || current.method === 'HEAD';
      if (!readOnly || location === undefined || !redirects.has(response.status)) return response;
      response.discard();
      current = follow(current, response.url, location);
    }
    throw new HakoError('unavailable', `registry "${request.url.host}": more than ${maxRedirects} redirects`);
  }

  async #sendOnce(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
    if (request.httpFallback !== true || request.url.protocol !== 'https:') return this.#exchange(request, signal);
    const { origin } = request.url;
    if (!this.#plain.has(origin)) {
      try {
        return await this.#exchange(request, signal);
      } catch (error) {
        if (!(error instanceof NetworkError) || !isTlsMismatch(error.cause)) throw error;
      }
    }
    const plain = new URL(request.url);
    plain.protocol = 'http:';
    try {
      const response = await this.#exchange({ ...request, url: plain }, signal);
      this.#plain.add(origin);
      return response;
    } catch (error) {
      // Whoever listens there next may speak TLS.
      this.#plain.delete(origin);
      throw error;
    }
  }

  async #exchange(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
    signal.throwIfAborted();
    const { url, method, headers, body } = request;
    const secure = url.protocol === 'https:';
    const outgoing = (secure ? https : http).request(url, {
      method,
      headers: headers as http.OutgoingHttpHeaders,
      agent: this.#agent(request, secure),
      signal,
    });
    request.observe?.(requestHead(outgoing));
    const limits = watch(outgoing, secure, url.host, {
      ...this.#timeouts,
      dial: request.dialTimeout ?? this.#timeouts.dial,
    });
    const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
    });
    // The answer may come, or the connection break, while the body is still on its way.
    answered.catch(() => {});
    const left = { answered: false };
    try {
      const incoming = await Promise.race([transmit(outgoing, body, limits, left), answered]);
      left.answered = true;
      request.observe?.(responseHead(incoming));
      return new Incoming(incoming, url, this.#timeouts.idle, signal, outgoing.writableEnded);
    } catch (error) {
      outgoing.destroy();
      signal.throwIfAborted();
      throw networkError(url.host, limits.reason() ?? error);
    } finally {
      limits.stop();
    }
  }

  #agent({ url, tls: settings }: HttpRequest, secure: boolean): http.Agent {
    // Go leaves loopback out of proxies whatever NO_PROXY says, and people rely on it.
    const direct = isLoopback(url.hostname);
    const key = secure ? JSON.stringify([direct, settings]) : `plain ${direct}`;
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    // Settings change rarely: the bound only stops a file that changes at each pull from eating memory.
    if (this.#agents.size >= 64) this.#dropOldest();
    const options = {
      keepAlive: true,
      maxSockets: 32,
      maxFreeSockets: 8,
      ...(direct ? {} : { proxyEnv: process.env }),
    };
    const agent = secure ? new https.Agent({ ...options, ...secureOptions(settings) }) : new http.Agent(options);
    this.#agents.set(key, agent);
    return agent;
  }

  #dropOldest(): void {
    const [oldest] = this.#agents;
    if (oldest === undefined) return;
    // Requests in flight keep their sockets; only new ones go elsewhere.
    this.#agents.delete(oldest[0]);
  }
}

/** localhost, 127.0.0.0/8 and ::1, as a URL or a reference writes them. */
export const isLoopback = (hostname: string): boolean =>
  /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\]|::1)$/i.test(hostname);

/** The request to the redirect's target. Another origin gets no authorization, no own headers and no client certificate. */
function follow(request: HttpRequest, from: URL, location: string): HttpRequest {
  let url: URL;
  try {
    url = new URL(location, from);
  } catch {
    throw new HakoError('unavailable', `registry "${from.host}": redirects to an address that is none`);
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new HakoError(
      'unavailable',
      `registry "${from.host}": redirects to "${url.protocol}", which is neither http nor https`,
    );
  }
  if (from.protocol === 'https:' && url.protocol === 'http:') {
    throw new HakoError(
      'unavailable',
      `registry "${from.host}": redirects from TLS to plain HTTP at "${url.host}": refused`,
    );
  }
  // An address may carry a name and password of its own; node would send them, and errors might show them.
  url.username = '';
  url.password = '';
  if (url.origin === from.origin) return { ...request, url };
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => harmless.has(name.toLowerCase())),
  );
  return { ...request, url, headers, tls: { ...request.tls, client: [] }, httpFallback: false };
}

interface Limits {
  /** The request is out: from here on an answer is due. */
  sent(): void;
  reason(): Error | undefined;
  stop(): void;
}

/** Ends a request that takes too long to connect, or to be answered once it is connected and sent. */
function watch(outgoing: http.ClientRequest, secure: boolean, host: string, timeouts: Timeouts): Limits {
  let reason: Error | undefined;
  let connected = false;
  let sent = false;
  const arm = (milliseconds: number, what: string): NodeJS.Timeout =>
    setTimeout(() => {
      reason = new NetworkError(`registry "${host}": ${what} within ${Math.round(milliseconds / 1000)} seconds`, true);
      outgoing.destroy(reason);
    }, milliseconds);
  let timer = arm(timeouts.dial, 'no connection');
  const step = (): void => {
    clearTimeout(timer);
    if (connected && sent) timer = arm(timeouts.header, 'no answer');
  };
  const onConnected = (): void => {
    connected = true;
    step();
  };
  outgoing.once('socket', (socket) => {
    const handshaking = secure && (socket as { secureConnecting?: boolean }).secureConnecting === true;
    if (handshaking) socket.once('secureConnect', onConnected);
    else if (socket.connecting) socket.once('connect', onConnected);
    else onConnected();
  });
  return {
    sent: () => {
      sent = true;
      if (connected) step();
    },
    reason: () => reason,
    stop: () => clearTimeout(timer),
  };
}

/** Sends the body. Rejects when the body cannot be read; otherwise the answer ends the wait. */
async function transmit(
  outgoing: http.ClientRequest,
  body: HttpRequest['body'],
  limits: Limits,
  left: { answered: boolean },
): Promise<never> {
  if (typeof body === 'function') {
    for await (const chunk of body()) {
      // An answer before the end of the body is a refusal: the rest is not wanted.
      if (outgoing.destroyed || left.answered) break;
      if (!outgoing.write(chunk)) await drained(outgoing);
    }
  } else if (body !== undefined) {
    outgoing.write(body);
  }
  if (!left.answered) outgoing.end();
  limits.sent();
  return new Promise<never>(() => {});
}

function drained(outgoing: http.ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off('drain', done);
      outgoing.off('close', done);
      resolve();
    };
    outgoing.once('drain', done);
    outgoing.once('close', done);
  });
}
