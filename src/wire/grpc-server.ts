import { chmod, chown, lstat, rename, rm } from 'node:fs/promises';
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { codeOf, HakoError } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { ServerCall } from './grpc-call.ts';
import { sessionOptions, sessionWindow } from './grpc-session.ts';
import type { BoundMethod, GrpcService } from './grpc-service.ts';
import { encodeGrpcMessage, grpcStatus } from './grpc-status.ts';

export interface ListenOptions {
  /** Permissions of the socket: who may open it rules the machine. 0660 when not given. */
  readonly mode?: number;
  /** Group of the socket. */
  readonly gid?: number;
}

/** Serves gRPC over a unix socket. Close it once; a closed server cannot be opened again. */
export class GrpcServer {
  readonly #methods = new Map<string, BoundMethod>();
  readonly #services = new Set<string>();
  readonly #logger: Logger;
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #sockets = new Set<Socket>();
  readonly #calls = new Set<ServerCall>();
  #socket: { path: string; ino: number } | undefined;

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
    this.#server.on('sessionError', (error: Error) => this.#logger.log('debug', 'gRPC connection failed', { error: error.message }));
    this.#server.on('stream', (stream, headers) => this.#answer(stream as ServerHttp2Stream, headers));
  }

  /**
   * Opens the socket. It gets its permissions before it gets its name, so nobody can slip in between, and a socket
   * that a killed daemon left is replaced in one step. already-exists when somebody answers there.
   */
  async listen(path: string, options: ListenOptions = {}): Promise<void> {
    if (await answers(path)) throw new HakoError('already-exists', `socket "${path}": another daemon is listening there`);
    // Short, since the name of a socket has at most 107 bytes.
    const unnamed = join(dirname(path), `.${process.pid.toString(36)}${basename(path).slice(0, 2)}`);
    await rm(unnamed, { force: true });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(unnamed, resolve);
    try {
      await promise;
      this.#server.off('error', reject);
      this.#server.on('error', (error) => this.#logger.log('error', 'gRPC socket failed', { path, error: error.message }));
      await chmod(unnamed, options.mode ?? 0o660);
      if (options.gid !== undefined) await chown(unnamed, 0, options.gid);
      const { ino } = await lstat(unnamed);
      await rename(unnamed, path);
      this.#socket = { path, ino };
    } catch (error) {
      this.#server.close();
      await rm(unnamed, { force: true });
      throw new HakoError('unavailable', `socket "${path}" cannot be opened: ${(error as Error).message}`, error);
    }
  }

  /**
   * Takes no new calls, gives those under way `grace` milliseconds, ends the rest with `unavailable`, and gives back
   * every connection and the socket. Never throws.
   */
  async close(grace = 1000): Promise<void> {
    // New clients find no socket at all rather than one that nobody answers.
    await this.#unlink();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const session of this.#sessions) session.close(); // GOAWAY; closes when its last stream has.
    await withinTime(closed, grace);
    const reason = new HakoError('unavailable', 'the daemon is shutting down');
    for (const call of this.#calls) call.abort(reason);
    // The last answers are on their way: they need a turn or two of the event loop, not a person's patience.
    await withinTime(closed, 100);
    // A session that was asked to close waits for its peer even when destroyed, so its socket has to go as well.
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#socket === undefined) return; // It never listened: 'close' may not come.
    await closed;
  }

  async #unlink(): Promise<void> {
    if (this.#socket === undefined) return;
    const { path, ino } = this.#socket;
    const now = await lstat(path).catch(() => undefined);
    if (now?.ino === ino) await rm(path, { force: true });
  }

  #welcome(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    // Without a listener, a client that breaks off would end the daemon.
    session.on('error', (error: Error) => this.#logger.log('debug', 'gRPC connection broke', { error: error.message }));
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
    this.#logger.log(ours ? 'error' : 'debug', 'gRPC call failed', { path, milliseconds, code, error: String(error), ...detail });
  }
}

/** True when somebody accepts connections on the socket. */
async function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path, () => resolve(true));
  socket.once('error', () => resolve(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

/** Waits for `promise`, but not longer than so many milliseconds. */
async function withinTime(promise: Promise<void>, milliseconds: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
