import type http from 'node:http';
import { NetworkError, networkError } from './errors.ts';

/** An answer. Read `body` to its end or `discard()` it: the connection serves nobody else until then. */
export interface HttpResponse {
  readonly status: number;
  /** The address that answered, after redirects. */
  readonly url: URL;
  header(name: string): string | undefined;
  /** Chunks as they come, with the idle time-out. Errors are already in our words. */
  body(): AsyncIterable<Uint8Array>;
  /** The body as text, cut at `limit` bytes. */
  text(limit?: number): Promise<string>;
  discard(): void;
}

export class Incoming implements HttpResponse {
  readonly status: number;
  readonly url: URL;
  readonly #message: http.IncomingMessage;
  readonly #idle: number;
  readonly #signal: AbortSignal;
  /** Whether the whole request went out: the connection is of no more use otherwise. */
  readonly #sent: boolean;

  constructor(message: http.IncomingMessage, url: URL, idle: number, signal: AbortSignal, sent: boolean) {
    this.#sent = sent;
    this.status = message.statusCode ?? 0;
    this.url = url;
    this.#message = message;
    this.#idle = idle;
    this.#signal = signal;
    // A connection that breaks before anyone reads is reported to the reader.
    message.on('error', () => {});
  }

  header(name: string): string | undefined {
    const value = this.#message.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  async *body(): AsyncIterable<Uint8Array> {
    const message = this.#message;
    const { host } = this.url;
    const silent = new NetworkError(
      `registry "${host}": sent nothing for ${Math.round(this.#idle / 1000)} seconds`,
      true,
    );
    // Only the other side's silence counts, not the time that our reader takes.
    let waiting = true;
    const timer = setTimeout(() => (waiting ? message.destroy(silent) : timer.refresh()), this.#idle);
    try {
      for await (const chunk of message as AsyncIterable<Buffer>) {
        waiting = false;
        yield chunk;
        waiting = true;
        timer.refresh();
      }
      if (!message.complete) throw new NetworkError(`registry "${host}": connection was cut by the other side`, true);
    } catch (error) {
      this.#signal.throwIfAborted();
      throw networkError(host, error);
    } finally {
      clearTimeout(timer);
      message.destroy();
    }
  }

  async text(limit = 64 * 1024): Promise<string> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.body()) {
      chunks.push(chunk);
      size += chunk.length;
      if (size >= limit) break;
    }
    return Buffer.concat(chunks).subarray(0, limit).toString('utf8');
  }

  discard(): void {
    // Short bodies are read away so that the connection can be kept; long ones end it.
    const length = Number(this.header('content-length') ?? Number.NaN);
    if (length <= 64 * 1024 && this.#sent) this.#message.resume();
    else this.#message.destroy();
  }
}
