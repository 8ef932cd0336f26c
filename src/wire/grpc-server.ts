import {
  constants,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type SecureServerOptions,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { ListenOptions, Socket } from 'node:net';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { callersFault, codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { defaultLimits, ServerCall, type MessageLimits } from './grpc-call.ts';
import { readHead, refusal, refusedEncoding, type Head, type Refusal } from './grpc-head.ts';
import { sessionOptions, sessionWindow } from './grpc-session.ts';
import type { BoundMethod, GrpcService } from './grpc-service.ts';
import { encodeGrpcMessage, grpcStatus } from './grpc-status.ts';

export interface GrpcServerOptions {
  readonly limits?: MessageLimits;
  /** For TCP: certificate and key, and what is asked of clients. */
  readonly tls?: TlsOptions;
}

export interface TlsOptions extends SecureServerOptions {
  /** Whether a client whose certificate is good may come in. */
  readonly admits?: (peer: PeerCertificate) => boolean;
}

/** Serves gRPC over a unix socket or TCP. Close it once; a closed server cannot be opened again. */
export class GrpcServer {
  readonly #services = new Map<string, ReadonlyMap<string, BoundMethod>>();
  readonly #limits: MessageLimits;
  readonly #logger: Logger;
  readonly #server: Http2Server | Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #sockets = new Set<Socket>();
  readonly #calls = new Set<ServerCall>();
  #listening = false;

  constructor(services: readonly GrpcService[], logger: Logger, options: GrpcServerOptions = {}) {
    for (const { desc, handlers } of services) this.#services.set(desc.typeName, handlers);
    this.#limits = options.limits ?? defaultLimits;
    this.#logger = logger;
    const { tls } = options;
    this.#server = tls === undefined ? createServer(sessionOptions) : createSecureServer({ ...sessionOptions, ...tls });
    if (tls?.admits !== undefined) this.#server.on('secureConnection', admitting(tls.admits));
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
    // Node binds in this very call, so nobody can open the socket before it has its permissions.
    const before = process.umask(0o117);
    let opened: Promise<void>;
    try {
      opened = this.#open({ path }, `socket "${path}"`);
    } finally {
      process.umask(before);
    }
    await opened;
  }

  /** Opens a TCP address and gives the port, which the system chose if it was 0. */
  async listenTcp(host: string, port: number): Promise<number> {
    await this.#open({ port, ...(host === '' ? {} : { host }) }, `TCP address "${host}:${port}"`);
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  async #open(where: ListenOptions, what: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(where, resolve);
    try {
      await promise;
    } catch (error) {
      throw new HakoError('unavailable', `${what} cannot be opened: ${(error as Error).message}`, error);
    }
    this.#listening = true;
    this.#server.off('error', reject);
    this.#server.on('error', (error) =>
      this.#logger.log('error', 'gRPC socket failed', { socket: what, error: error.message }),
    );
    // Someone who speaks no TLS, or has no certificate, is that one's trouble.
    this.#server.on('tlsClientError', (error: Error) =>
      this.#logger.log('debug', 'TLS connection refused', { socket: what, error: error.message }),
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
    const head = readHead(headers);
    if (head.kind === 'refusal') {
      refuse(stream, head);
      return;
    }
    const method = this.#find(head, headers);
    if (method.kind === 'refusal') {
      refuse(stream, method);
      return;
    }
    const call = new ServerCall(stream, headers, head, method, this.#limits);
    this.#calls.add(call);
    const began = performance.now();
    void call.run().then((error) => {
      this.#calls.delete(call);
      this.#record(headers[':path'] ?? '', performance.now() - began, error);
    });
  }

  #find({ service, method }: Head, headers: IncomingHttpHeaders): BoundMethod | Refusal {
    const methods = this.#services.get(service);
    if (methods === undefined) return refusal(200, grpcStatus.unimplemented, `unknown service ${service}`);
    const found = methods.get(method);
    if (found !== undefined) return refusedEncoding(headers) ?? found;
    return refusal(200, grpcStatus.unimplemented, `unknown method ${method} for service ${service}`);
  }

  #record(path: string, milliseconds: number, error: unknown): void {
    if (error === undefined) {
      this.#logger.log('trace', 'gRPC call answered', { path, milliseconds });
      return;
    }
    // A mistake of ours is worth a line with its stack; a caller's is the caller's to see.
    const code = codeOf(error);
    const theirs = error instanceof HakoError && error.cause === callersFault;
    const ours = !theirs && (code === 'unknown' || code === 'internal' || code === 'data-loss');
    const detail = ours && error instanceof Error ? { stack: error.stack } : {};
    const fields = { path, milliseconds, code, error: messageOf(error), ...detail };
    // Clients end streams by leaving; that is no failure.
    this.#logger.log(ours ? 'error' : code === 'cancelled' ? 'trace' : 'debug', 'gRPC call failed', fields);
  }
}

const admitting =
  (admits: (peer: PeerCertificate) => boolean) =>
  (socket: TLSSocket): void => {
    if (!admits(socket.getPeerCertificate())) socket.destroy();
  };

function refuse(stream: ServerHttp2Stream, { httpStatus, status, message }: Refusal): void {
  stream.resume();
  const headers = {
    ':status': httpStatus,
    'content-type': 'application/grpc',
    'grpc-status': String(status),
    'grpc-message': encodeGrpcMessage(message),
  };
  stream.respond(headers, { endStream: true });
  // One who goes on sending is told that nobody listens.
  setImmediate(() => {
    if (!stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
  });
}

/** Waits for `promise`, but not longer than so many milliseconds. */
async function withinTime(promise: Promise<void>, milliseconds: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
