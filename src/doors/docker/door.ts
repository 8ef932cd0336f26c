import { createServer, ServerResponse, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Call } from '#base/call.ts';
import { codeOf, HakoError } from '#base/errors.ts';
import { checkIdentifier } from '#base/identifiers.ts';
import type { Logger } from '#base/log.ts';
import type { Engine } from '#services/engine/engine.ts';
import { absentRoutes } from './absent.ts';
import { containerRoutes } from './containers.ts';
import { httpError } from './errors.ts';
import { execRoutes } from './exec.ts';
import { Exchange, type Upgrade } from './exchange.ts';
import { imageRoutes } from './images.ts';
import { Query } from './query.ts';
import { maximumVersion, printVersion, Router } from './router.ts';
import { systemRoutes } from './system.ts';

export interface DockerDoorOptions {
  /** Hakobune's own version, told in the `Server` header. */
  readonly version: string;
  readonly logger: Logger;
  /** Where a request goes that names no namespace by `X-Hakobune-Namespace`. */
  readonly namespace?: string;
}

/** The path is short; what makes a head large is X-Registry-Auth, and labels in filters. */
const maxHeadBytes = 256 * 1024;
/** How long requests get to end by themselves when the daemon stops. */
const closingGraceMs = 2_000;

const router = new Router([...systemRoutes, ...containerRoutes, ...execRoutes, ...imageRoutes, ...absentRoutes]);

/** The Engine API over HTTP. Build it, `listen` on a unix socket, `close` it. */
export class DockerDoor {
  readonly server: Server;
  readonly #engine: Engine;
  readonly #options: DockerDoorOptions;
  readonly #ending = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #taken = new Set<Duplex>();

  constructor(services: { readonly engine: Engine }, options: DockerDoorOptions) {
    this.#engine = services.engine;
    this.#options = options;
    this.server = createServer(
      {
        maxHeaderSize: maxHeadBytes,
        // Bodies have limits of their own, and an attached client may be silent for days.
        requestTimeout: 0,
        keepAliveTimeout: 60_000,
        shouldUpgradeCallback: (request) => this.#mayTakeOver(request),
      },
      (request, response) => this.#begin(request, response),
    );
    this.server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /**
   * Listens on a unix socket. Binds before it returns, and leaves the file's owner, mode and predecessors to its caller (the
   * daemon's `openSocket`).
   */
  listen(path: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.server.once('error', reject);
    this.server.listen(path, () => {
      this.server.off('error', reject);
      resolve();
    });
    return promise;
  }

  /** Ends every request's signal, and the connections shortly after. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.#ending.abort(new HakoError('unavailable', 'hakod is stopping'));
    this.server.closeIdleConnections();
    const timer = setTimeout(() => this.#cut(), closingGraceMs);
    await Promise.allSettled(this.#running);
    this.#cut();
    clearTimeout(timer);
    await closed;
  }

  #cut(): void {
    this.server.closeAllConnections();
    for (const socket of this.#taken) socket.destroy();
  }

  /** Only routes that carry streams are upgraded; for others the request is one like any other (as HTTP wants it). */
  #mayTakeOver(request: IncomingMessage): boolean {
    try {
      return router.find(request.method ?? '', pathOf(request))?.route.hijacks === true;
    } catch {
      return false;
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array): void {
    this.#taken.add(socket);
    socket.once('close', () => this.#taken.delete(socket));
    // A reset by a client that left: 'close' follows, and is what we act on.
    socket.on('error', () => {});
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Parameters<typeof response.assignSocket>[0]);
    response.once('finish', () => socket.end());
    this.#begin(request, response, { socket, head });
  }

  #begin(request: IncomingMessage, response: ServerResponse, upgrade?: Upgrade): void {
    const running = this.#serve(request, response, upgrade);
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
  }

  /** Never rejects: whatever goes wrong is answered, or logged when it is too late for that. */
  async #serve(request: IncomingMessage, response: ServerResponse, upgrade?: Upgrade): Promise<void> {
    const began = performance.now();
    const gone = new AbortController();
    const onClose = (): void => {
      if (!response.writableFinished || upgrade !== undefined)
        gone.abort(new HakoError('cancelled', 'the client left'));
    };
    (upgrade?.socket ?? response).once('close', onClose);
    let failure: unknown;
    try {
      response.setHeader('Api-Version', printVersion(maximumVersion));
      response.setHeader('Ostype', 'linux');
      response.setHeader('Server', `Hakobune/${this.#options.version} (linux)`);
      await this.#answer(request, response, upgrade, AbortSignal.any([gone.signal, this.#ending.signal]));
    } catch (error) {
      failure = error;
      refuse(response, upgrade, error);
    }
    if (!gone.signal.aborted || failure !== undefined) this.#log(request, response, performance.now() - began, failure);
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: Upgrade | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const match = router.find(request.method ?? '', pathOf(request));
    if (match === undefined) throw new HakoError('not-found', 'page not found');
    const call: Call = { namespace: this.#namespace(request), signal };
    const query = new Query(queryOf(request));
    const parts = { engine: this.#engine, call, match, query, request, response };
    await match.route.handler(new Exchange(upgrade === undefined ? parts : { ...parts, upgrade }));
  }

  #namespace(request: IncomingMessage): string {
    const named = request.headers['x-hakobune-namespace'];
    if (named === undefined || named === '') return this.#options.namespace ?? 'default';
    const namespace = Array.isArray(named) ? named.join(',') : named;
    checkIdentifier(namespace, 'namespace');
    return namespace;
  }

  #log(request: IncomingMessage, response: ServerResponse, milliseconds: number, failure: unknown): void {
    const fields = {
      method: request.method,
      path: pathOf(request),
      status: response.statusCode,
      milliseconds: Math.round(milliseconds),
      ...(failure === undefined ? {} : { error: httpError(failure).message }),
    };
    const code = failure === undefined ? undefined : codeOf(failure);
    // What we cannot name is a fault of ours: the stack belongs into the log, and only there.
    if (code === 'unknown' || code === 'internal') {
      this.#options.logger.log('error', 'docker request failed', { ...fields, stack: (failure as Error).stack });
    } else {
      this.#options.logger.log('debug', 'docker request', fields);
    }
  }
}

/** The Docker door over the given services. */
export const dockerDoor = (services: { readonly engine: Engine }, options: DockerDoorOptions): DockerDoor =>
  new DockerDoor(services, options);

function refuse(response: ServerResponse, upgrade: Upgrade | undefined, error: unknown): void {
  // Too late for a status: the broken connection has to tell it.
  if (response.headersSent || response.socket === null) {
    (upgrade?.socket ?? response).destroy();
    return;
  }
  if (response.destroyed) return;
  const { status, message } = httpError(error);
  if (status === 304) {
    response.writeHead(304).end();
    return;
  }
  const body = `${JSON.stringify({ message })}\n`;
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

const pathOf = (request: IncomingMessage): string => (request.url ?? '/').split('?', 1)[0] ?? '/';
function queryOf(request: IncomingMessage): string {
  const url = request.url ?? '';
  const mark = url.indexOf('?');
  return mark < 0 ? '' : url.slice(mark + 1);
}
