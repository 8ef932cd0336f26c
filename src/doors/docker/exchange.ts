import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Call } from '#base/call.ts';
import type { Engine } from '#services/engine/engine.ts';
import { finish, incoming, watchPeer, write } from '#wire/hijack.ts';
import type { JsonObject } from './body.ts';
import { readJson } from './body.ts';
import type { Query } from './query.ts';
import type { ApiVersion, Match } from './router.ts';

/** A connection whose two halves carry a container's streams. */
export interface Connection {
  readonly input: AsyncIterable<Uint8Array>;
  /** False where the end of `input` says nothing about the client's input: it had no way to send any. */
  readonly inputEnds: boolean;
  write(data: Uint8Array): Promise<void>;
  finish(): Promise<void>;
}

export interface Upgrade {
  readonly socket: Duplex;
  /** Bytes that came along with the request. */
  readonly head: Uint8Array;
}

export interface ExchangeParts {
  readonly engine: Engine;
  readonly call: Call;
  readonly match: Match;
  readonly query: Query;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Present when the client asked to take the connection over. */
  readonly upgrade?: Upgrade;
}

/** How long a client may take to close its half after we closed ours. */
const closingGraceMs = 10_000;
/** How often a connection whose input has ended is checked for a peer that has gone. */
const peerCheckMs = 2_000;

/** One request with its answer. A handler answers exactly once. */
export class Exchange {
  readonly engine: Engine;
  readonly call: Call;
  readonly query: Query;
  readonly version: ApiVersion;
  readonly request: IncomingMessage;
  readonly #parts: ExchangeParts;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
    this.engine = parts.engine;
    this.call = parts.call;
    this.query = parts.query;
    this.version = parts.match.version;
    this.request = parts.request;
  }

  /** A piece of the path. Docker's clients may put a slash before a container's name. */
  parameter(name: string): string {
    return (this.#parts.match.parameters[name] ?? '').replace(/^\//, '');
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value.join(',') : value;
  }

  body(): Promise<JsonObject | undefined> {
    return readJson(this.request, this.call.signal);
  }

  setHeader(name: string, value: string): void {
    this.#parts.response.setHeader(name, value);
  }

  json(status: number, value: unknown): void {
    this.text(status, 'application/json', `${JSON.stringify(value)}\n`);
  }

  text(status: number, type: string, text: string): void {
    const { response } = this.#parts;
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
    response.end(text);
  }

  empty(status: number): void {
    // 204 and 304 have no body by definition; of others the length must be told.
    if (status !== 204 && status !== 304) this.setHeader('Content-Length', '0');
    this.#parts.response.writeHead(status).end();
  }

  get answered(): boolean {
    return this.#parts.response.headersSent;
  }

  /** Begins an answer of unknown length. The head goes out at once: clients wait for it. */
  begin(status: number, type: string): Connection {
    const { request, response } = this.#parts;
    response.writeHead(status, { 'Content-Type': type });
    response.flushHeaders();
    return {
      input: request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>,
      inputEnds: 'content-length' in request.headers || 'transfer-encoding' in request.headers,
      write: (data) => write(response, data),
      finish: async () => void response.end(),
    };
  }

  /** True when clients of this request would see a progress line dropped rather than memory filled. */
  get congested(): boolean {
    return this.#parts.response.writableNeedDrain;
  }

  /** Writes without waiting, for progress that comes faster than promises. */
  push(text: string): void {
    const { response } = this.#parts;
    if (!response.destroyed && !response.writableEnded) response.write(text);
  }

  end(): void {
    this.#parts.response.end();
  }

  /**
   * Takes the connection over: `101 UPGRADED` where the client asked for it, otherwise a plain answer that is raw bytes until
   * the connection closes (input is then the request's own body).
   */
  hijack(upgradedType: string): Connection {
    const { response, upgrade } = this.#parts;
    if (upgrade === undefined) {
      response.useChunkedEncodingByDefault = false;
      response.shouldKeepAlive = false;
      return this.begin(200, 'application/vnd.docker.raw-stream');
    }
    const { socket, head } = upgrade;
    response.detachSocket(socket as Parameters<typeof response.detachSocket>[0]);
    socket.write(
      `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${upgradedType}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n` +
        `Api-Version: ${String(response.getHeader('Api-Version'))}\r\n\r\n`,
    );
    watchPeer(socket, peerCheckMs);
    return {
      input: incoming(socket, head),
      inputEnds: true,
      write: (data) => write(socket, data),
      finish: () => finish(socket, closingGraceMs),
    };
  }
}
