import { setTimeout as sleep } from 'node:timers/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { MadeImage } from './images.ts';

/** What a client asked for of one blob or manifest, and how much of it went out. */
export interface Asked {
  readonly digest: string;
  readonly kind: 'blobs' | 'manifests';
  /** Where the answer began. */
  readonly start: number;
  sent: number;
}

/** A registry that holds one image under any name, sends blobs slowly and counts what it sends. It can go and come back. */
export class SlowRegistry implements AsyncDisposable {
  readonly #image: MadeImage;
  #server: Server | undefined;
  #port = 0;
  /** Bytes of a blob in one write, and milliseconds between two: slow enough to be killed in between. */
  chunk = 64 * 1024;
  pause = 5;
  /** Every GET that had an answer, in order. */
  readonly asked: Asked[] = [];

  constructor(image: MadeImage) {
    this.#image = image;
  }

  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Bytes of blobs that went out so far. */
  get sent(): number {
    return this.blobs().reduce((sum, one) => sum + one.sent, 0);
  }

  blobs(): Asked[] {
    return this.asked.filter(({ kind }) => kind === 'blobs');
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => {
      const [, kind, name] = /\/(blobs|manifests)\/([^/]+)$/.exec(request.url ?? '') ?? [];
      const body = kind === 'manifests' ? this.#image.manifest : this.#image.blobs.get(name ?? '');
      if (request.url === '/v2/') return void response.writeHead(200).end();
      if (body === undefined) return void response.writeHead(404).end();
      const digest = kind === 'manifests' ? this.#image.target.digest : (name ?? '');
      const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(start > 0 ? 206 : 200, {
        'docker-content-digest': digest,
        'content-type': kind === 'manifests' ? this.#image.target.mediaType : 'application/octet-stream',
        'content-length': body.length - start,
        ...(start > 0 ? { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` } : {}),
      });
      if (request.method === 'HEAD') return void response.end();
      const asked: Asked = { digest, kind: kind === 'manifests' ? 'manifests' : 'blobs', start, sent: 0 };
      this.asked.push(asked);
      void this.#send(response, body, asked);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    return this;
  }

  /** Cuts every connection and refuses new ones until `start`. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Waits until so many bytes of blobs went out. */
  async reaches(bytes: number): Promise<void> {
    for (const end = Date.now() + 60_000; this.sent < bytes;) {
      if (Date.now() > end) throw new Error(`the registry sent ${this.sent} bytes and no more, not ${bytes}`);
      await sleep(2);
    }
  }

  async #send(response: ServerResponse, body: Buffer, asked: Asked): Promise<void> {
    for (let at = asked.start; at < body.length && !response.destroyed; at += this.chunk) {
      const part = body.subarray(at, at + this.chunk);
      // Counted when the kernel has it: what a client that dies did not take is not far from that.
      await new Promise((resolve) => response.write(part, resolve));
      asked.sent += part.length;
      if (asked.kind === 'blobs') await sleep(this.pause);
    }
    response.end();
  }
}
