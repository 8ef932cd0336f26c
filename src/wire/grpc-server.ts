import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { ServerCall } from './grpc-call.ts';
import { sessionOptions, sessionWindow } from './grpc-session.ts';
import type { BoundMethod, GrpcService } from './grpc-service.ts';
import { encodeGrpcMessage, grpcStatus } from './grpc-status.ts';

/** Serves gRPC over a unix socket. Close it once; a closed server cannot be opened again. */
export class GrpcServer {
  readonly #methods = new Map<string, BoundMethod>();
  readonly #services = new Set<string>();
  readonly #logger: Logger;
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #sockets = new Set<Socket>();
  readonly #calls = new Set<ServerCall>();
  #listening = false;

  constructor(services: readonly GrpcService[], logger: Logger) {
    for (const { desc, handlers } of services) {
      this.#services.add(desc.typeName);
      for (const [name, method] of handlers) this.#methods.set(`/${desc.typeName}/${name}`, method);
    }
    this.#logger = logger;
    this.#server = createServer(sessionOptions);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('session', (session) => this.#welcome(session));
    this.#server.on('stream', (stream, headers) => this.#answer(stream as ServerHttp2Stream, headers));
  }

  /**
   * Opens the socket, for owner and group alone. It is bound before this returns its promise, so whoever wants other
   * permissions may set the process's umask around the call. unavailable when the name is taken or cannot be had.
   */
  async listen(path: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    // Node binds in this very call, so nobody can open the socket before it has its permissions.
    const before = process.umask(0o117);
    try {
      this.#server.listen(path, resolve);
    } finally {
      process.umask(before);
    }
    try {
      await promise;
    } catch (error) {
      throw new HakoError('unavailable', `socket "${path}" cannot be opened: ${(error as Error).message}`, error);
    }
    this.#listening = true;
    this.#server.off('error', reject);
    this.#server.on('error', (error) =>
      this.#logger.log('error', 'gRPC socket failed', { path, error: error.message }),
    );
  }

  /**
   * Takes no new calls, ends those that only wait, gives the others `grace` milliseconds, ends the rest with
   * `unavailable`, and gives back every connection and the socket. Never throws.
   */
  async close(grace = 1000): Promise<void> {
    if (!this.#listening) return;
    this.#listening = false;
    // From here on new clients find no socket at all, rather than one that nobody answers.
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const session of this.#sessions) session.close(); // GOAWAY; closes when its last stream has.
    const reason = new HakoError('unavailable', 'the daemon is shutting down');
    for (const call of this.#calls) if (call.lasting) call.abort(reason);
    await withinTime(closed, grace);
    for (const call of this.#calls) call.abort(reason);
    // The last answers are on their way: they need a turn or two of the event loop, not a person's patience.
    await withinTime(closed, 100);
    // A session that was asked to close waits for its peer even when destroyed, so its socket has to go as well.
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #welcome(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    // Without a listener, a client that breaks off would end the daemon.
    session.on('error', (error: Error) => this.#logger.log('trace', 'gRPC connection broke', { error: error.message }));
    session.setLocalWindowSize(sessionWindow);
  }

  #answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', (error: Error) => this.#logger.log('trace', 'gRPC stream broke', { error: error.message }));
    const path = headers[':path'] ?? '';
    const contentType = headers['content-type'] ?? '';
    if (headers[':method'] !== 'POST' || !contentType.startsWith('application/grpc')) {
      stream.respond({ ':status': headers[':method'] === 'POST' ? 415 : 405 }, { endStream: true });
      return;
    }
    const method = this.#methods.get(path);
    if (method === undefined) {
      this.#unknown(stream, path);
      return;
    }
    const call = new ServerCall(stream, headers, method);
    this.#calls.add(call);
    const began = performance.now();
    void call.run().then((error) => {
      this.#calls.delete(call);
      this.#record(path, performance.now() - began, error);
    });
  }

  #unknown(stream: ServerHttp2Stream, path: string): void {
    const [, service = '', method = ''] = path.split('/');
    const message = this.#services.has(service)
      ? `unknown method ${method} for service ${service}`
      : `unknown service ${service}`;
    stream.resume();
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': String(grpcStatus.unimplemented),
        'grpc-message': encodeGrpcMessage(message),
      },
      { endStream: true },
    );
  }

  #record(path: string, milliseconds: number, error: unknown): void {
    if (error === undefined) {
      this.#logger.log('trace', 'gRPC call answered', { path, milliseconds });
      return;
    }
    // A mistake of ours is worth a line with its stack; a caller's is the caller's to see.
    const code = codeOf(error);
    const ours = code === 'unknown' || code === 'internal' || code === 'data-loss';
    const detail = ours && error instanceof Error ? { stack: error.stack } : {};
    const fields = { path, milliseconds, code, error: messageOf(error), ...detail };
    // Clients end streams by leaving; that is no failure.
    this.#logger.log(ours ? 'error' : code === 'cancelled' ? 'trace' : 'debug', 'gRPC call failed', fields);
  }
}

/** Waits for `promise`, but not longer than so many milliseconds. */
async function withinTime(promise: Promise<void>, milliseconds: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
