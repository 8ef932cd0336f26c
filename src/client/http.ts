import { connect, type Socket } from 'node:net';
import { HakoError, type ErrorCode } from '#base/errors.ts';
import { incoming } from '#wire/hijack.ts';
import type { Address } from './address.ts';

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** Asks to take the connection over. */
  readonly upgrade?: boolean;
}

export interface Reply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly socket: Socket;
  /** What follows the head; for a connection that was taken over, the raw stream. */
  readonly body: AsyncIterable<Uint8Array>;
}

const maxHeadBytes = 256 * 1024;
const maxChunkLine = 1024;

/** One request on a connection of its own. Resolves with the head; the body comes as it comes. */
export async function request(address: Address, method: string, path: string, options: RequestOptions): Promise<Reply> {
  options.signal?.throwIfAborted();
  const socket = await open(address, options.signal);
  // Whoever reads gets the error too; without a listener it would end the process.
  socket.on('error', () => {});
  const onAbort = (): void => void socket.destroy(options.signal?.reason as Error);
  options.signal?.addEventListener('abort', onAbort, { once: true });
  socket.once('close', () => options.signal?.removeEventListener('abort', onAbort));
  socket.write(head(address, method, path, options));
  try {
    return await readReply(socket, method);
  } catch (error) {
    socket.destroy();
    options.signal?.throwIfAborted();
    if (error instanceof HakoError) throw error;
    throw new HakoError('unavailable', `the daemon closed the connection before it answered ${method} ${path}`, error);
  }
}

function open(address: Address, signal: AbortSignal | undefined): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // Half-open, for our input may end long before the container's output does.
    const socket = connect({ ...address, allowHalfOpen: true });
    const onAbort = (): void => void socket.destroy(signal?.reason as Error);
    const settle = (): void => {
      signal?.removeEventListener('abort', onAbort);
      socket.off('connect', onConnect).off('error', onError);
    };
    const onConnect = (): void => (settle(), resolve(socket));
    const onError = (error: NodeJS.ErrnoException): void => (settle(), reject(error));
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.on('connect', onConnect).on('error', onError);
  });
}

function head(address: Address, method: string, path: string, options: RequestOptions): string {
  const body = options.body === undefined ? '' : JSON.stringify(options.body);
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${'path' in address ? 'hakobune' : `${address.host}:${address.port}`}`,
  ];
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (/[\r\n]/.test(value)) throw new HakoError('invalid-argument', `header "${name}" contains a line break`);
    lines.push(`${name}: ${value}`);
  }
  lines.push(...(options.upgrade === true ? ['Connection: Upgrade', 'Upgrade: tcp'] : ['Connection: close']));
  if (body !== '') lines.push('Content-Type: application/json');
  if (method !== 'GET' && method !== 'HEAD') lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** Hands out a socket's bytes by line and by count. */
class Reader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** A line without its end; undefined at the end of the stream. */
  async line(limit: number): Promise<string | undefined> {
    for (;;) {
      const end = this.#buffer.indexOf('\n');
      if (end > limit || (end < 0 && this.#buffer.length > limit)) {
        throw new HakoError('data-loss', `the daemon sent a line of more than ${limit} bytes`);
      }
      if (end >= 0) {
        const line = this.#buffer.toString('latin1', 0, end).replace(/\r$/, '');
        this.#buffer = this.#buffer.subarray(end + 1);
        return line;
      }
      const more = await this.#chunks.next();
      if (more.done === true) return undefined;
      this.#buffer = Buffer.concat([this.#buffer, more.value]);
    }
  }

  /** Exactly `count` bytes, piece by piece. */
  async *exactly(count: number): AsyncGenerator<Uint8Array> {
    let left = count;
    while (left > 0) {
      const piece = await this.#some();
      if (piece === undefined)
        throw new HakoError('data-loss', 'the daemon closed the connection in the middle of an answer');
      if (piece.length > left) this.#buffer = Buffer.from(piece.subarray(left));
      yield piece.subarray(0, left);
      left -= Math.min(left, piece.length);
    }
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    for (let piece = await this.#some(); piece !== undefined; piece = await this.#some()) yield piece;
  }

  async *chunked(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const line = await this.line(maxChunkLine);
      const size = Number.parseInt(line ?? '', 16);
      if (!Number.isSafeInteger(size))
        throw new HakoError('data-loss', 'the daemon broke off in the middle of an answer');
      if (size === 0) return;
      yield* this.exactly(size);
      await this.line(maxChunkLine);
    }
  }

  async #some(): Promise<Uint8Array | undefined> {
    if (this.#buffer.length > 0) {
      const piece = this.#buffer;
      this.#buffer = Buffer.alloc(0);
      return piece;
    }
    const more = await this.#chunks.next();
    return more.done === true ? undefined : more.value;
  }
}

async function readReply(socket: Socket, method: string): Promise<Reply> {
  const reader = new Reader(incoming(socket, new Uint8Array(0)));
  const first = await reader.line(maxHeadBytes);
  if (first === undefined) throw new HakoError('unavailable', 'the daemon closed the connection without an answer');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  if (Number.isNaN(status)) throw new HakoError('unavailable', 'what listens there does not speak HTTP');
  const headers = new Map<string, string>();
  for (let size = 0; ;) {
    const line = await reader.line(maxHeadBytes);
    if (line === undefined)
      throw new HakoError('data-loss', 'the daemon closed the connection in the middle of an answer');
    if (line === '') break;
    size += line.length;
    if (size > maxHeadBytes)
      throw new HakoError('data-loss', `the daemon sent a head of more than ${maxHeadBytes} bytes`);
    const colon = line.indexOf(':');
    headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status, headers, socket, body: bodyOf(reader, method, status, headers) };
}

function bodyOf(
  reader: Reader,
  method: string,
  status: number,
  headers: ReadonlyMap<string, string>,
): AsyncIterable<Uint8Array> {
  if (status === 101) return reader.rest();
  if (method === 'HEAD' || status === 204 || status === 304) return reader.exactly(0);
  if (headers.get('transfer-encoding')?.toLowerCase() === 'chunked') return reader.chunked();
  const length = headers.get('content-length');
  return length === undefined ? reader.rest() : reader.exactly(Number(length));
}

const codes: Readonly<Record<number, ErrorCode>> = {
  304: 'not-modified',
  400: 'invalid-argument',
  401: 'unauthenticated',
  403: 'permission-denied',
  404: 'not-found',
  409: 'conflict',
  501: 'unimplemented',
  503: 'unavailable',
};

/** An answer that is an error, as the daemon worded it. */
export function replyError(status: number, text: string): HakoError {
  let message = text.trim();
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed) message = String(parsed.message);
  } catch {
    // Something between us and the daemon answered in its own words.
  }
  return new HakoError(
    codes[status] ?? 'unknown',
    message === '' ? `the daemon answered with status ${status}` : message,
  );
}
