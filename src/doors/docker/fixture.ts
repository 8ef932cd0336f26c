import { mkdtemp, rm } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { unimplemented } from '#base/errors.ts';
import { silent } from '#base/log.ts';
import type { Engine } from '#services/engine/engine.ts';
import type { Attachment } from '#services/engine/types.ts';
import { DockerDoor } from './door.ts';

/** An engine that can do only what a test gives it; everything else is unimplemented, as where a door asks for what is not there yet. */
export const engineOf = (parts: Partial<Engine>): Engine =>
  new Proxy(parts as Engine, {
    get: (target, name) => {
      const given: unknown = Reflect.get(target, name);
      // Whoever awaits it asks for a `then`, which no engine has.
      if (given !== undefined || typeof name === 'symbol' || name === 'then') return given;
      return () => {
        throw unimplemented(`engine.${name}`);
      };
    },
  });

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

/** A door on a real unix socket, for tests. */
export class OpenDoor implements AsyncDisposable {
  readonly door: DockerDoor;
  readonly path: string;
  readonly #directory: string;

  private constructor(door: DockerDoor, directory: string) {
    this.door = door;
    this.#directory = directory;
    this.path = join(directory, 'docker.sock');
  }

  static async over(parts: Partial<Engine>): Promise<OpenDoor> {
    const directory = await mkdtemp(join(tmpdir(), 'hako-docker-door-'));
    const open = new OpenDoor(
      new DockerDoor({ engine: engineOf(parts) }, { version: '0.0.0', logger: silent }),
      directory,
    );
    await open.door.listen(open.path);
    return open;
  }

  ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
    const type =
      text === '' ? {} : { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(text)) };
    const asking = request({ socketPath: this.path, method, path, headers: { ...type, ...headers } }, (response) => {
      let out = '';
      response
        .setEncoding('utf8')
        .on('data', (chunk: string) => (out += chunk))
        .on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text: out }));
    });
    asking.on('error', reject).end(text);
    return promise;
  }

  /** Takes a connection over; `head` are the first bytes of the stream. */
  upgrade(path: string, body = ''): Promise<{ response: IncomingMessage; socket: Duplex; head: Buffer }> {
    const { promise, resolve, reject } = Promise.withResolvers<{
      response: IncomingMessage;
      socket: Duplex;
      head: Buffer;
    }>();
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'tcp',
      ...(body === '' ? {} : { 'Content-Type': 'application/json', 'Content-Length': String(body.length) }),
    };
    const asking = request({ socketPath: this.path, method: 'POST', path, headers });
    asking.on('upgrade', (response, socket, head) => resolve({ response, socket, head }));
    asking.on('response', (response) => reject(new Error(`not upgraded: ${response.statusCode}`)));
    asking.on('error', reject).end(body);
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.door.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Streams of a process that a test plays. */
export class PlayedAttachment implements Attachment {
  readonly tty: boolean;
  readonly written: string[] = [];
  ended = false;
  readonly disposal = Promise.withResolvers<void>();
  readonly #play: (self: PlayedAttachment) => AsyncIterable<{ stream: 'stdout' | 'stderr'; data: Uint8Array }>;
  readonly inputEnd = Promise.withResolvers<void>();

  constructor(
    tty: boolean,
    play: (self: PlayedAttachment) => AsyncIterable<{ stream: 'stdout' | 'stderr'; data: Uint8Array }>,
  ) {
    this.tty = tty;
    this.#play = play;
  }

  get output(): AsyncIterable<{ stream: 'stdout' | 'stderr'; data: Uint8Array }> {
    return this.#play(this);
  }

  async write(data: Uint8Array): Promise<void> {
    this.written.push(Buffer.from(data).toString());
  }

  async end(): Promise<void> {
    this.ended = true;
    this.inputEnd.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposal.resolve();
  }
}

export const out = (text: string): { stream: 'stdout'; data: Uint8Array } => ({
  stream: 'stdout',
  data: Buffer.from(text),
});
export const err = (text: string): { stream: 'stderr'; data: Uint8Array } => ({
  stream: 'stderr',
  data: Buffer.from(text),
});

/** Everything a stream still gives. */
export async function drain(socket: Duplex, head: Uint8Array = Buffer.alloc(0)): Promise<Buffer> {
  const chunks: Uint8Array[] = [head];
  for await (const chunk of socket) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}
