import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { frame } from '#wire/docker-stream.ts';
import { chooseHost, parseHost } from './address.ts';
import { DockerClient } from './docker.ts';

/** A daemon that answers every request with the given pieces of bytes, each in a packet of its own. */
class PlayedDaemon implements AsyncDisposable {
  readonly client: DockerClient;
  readonly heard: string[] = [];
  readonly #server: Server;
  readonly #directory: string;

  private constructor(server: Server, directory: string, path: string) {
    this.#server = server;
    this.#directory = directory;
    this.client = new DockerClient({ host: `unix://${path}`, namespace: 'k8s.io' });
  }

  static async saying(
    pieces: readonly (string | Uint8Array)[],
    then?: (socket: Socket) => void,
  ): Promise<PlayedDaemon> {
    const directory = await mkdtemp(join(tmpdir(), 'hako-client-'));
    const path = join(directory, 's');
    const server = createServer({ allowHalfOpen: true });
    const played = new PlayedDaemon(server, directory, path);
    server.on('connection', (socket) => {
      socket.on('error', () => {});
      socket.once('data', (chunk) => {
        played.heard.push(chunk.toString());
        // Nobody listens until the pieces are out; what comes meanwhile has to wait.
        socket.pause();
        void (async () => {
          for (const piece of pieces) {
            socket.write(piece);
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
          if (then === undefined) socket.resume().end();
          else then(socket);
        })();
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return played;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#directory, { recursive: true });
  }
}

const bytewise = (text: string): string[] => [...text];
const collect = async <T>(values: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
};

test('an answer is read whole however it was cut, with a length, in chunks, and to the end', async () => {
  const json = '{"Version":"日本"}';
  const length = Buffer.byteLength(json);
  const answers = [
    `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${json}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"V\r\n${(length - 3).toString(16)};x=y\r\n${json.slice(3)}\r\n0\r\n\r\n`,
    `HTTP/1.0 200 OK\nServer: x\n\n${json}`,
  ];
  for (const answer of answers) {
    await using daemon = await PlayedDaemon.saying([...Buffer.from(answer)].map((byte) => Uint8Array.of(byte)));
    assert.deepEqual(await daemon.client.version(), { Version: '日本' });
    assert.match(daemon.heard[0] ?? '', /^GET \/version HTTP\/1.1\r\n[^]*X-Hakobune-Namespace: k8s.io\r\n/);
  }
});

test('an answer that breaks off is an error, not a short answer', async () => {
  const broken = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}', /middle of an answer/],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n', /broke off/],
    ['HTTP/1.1 200', /does not speak HTTP|without an answer|middle/],
    ['', /without an answer/],
    ['SSH-2.0-x\r\n\r\n', /does not speak HTTP/],
    [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(300_000)}\r\n\r\n`, /more than 262144 bytes/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc', /not JSON/],
  ] as const;
  for (const [answer, message] of broken) {
    await using daemon = await PlayedDaemon.saying(answer === '' ? [] : [answer]);
    await assert.rejects(daemon.client.version(), message);
  }
});

test('errors come in the words of the daemon, with a code', async () => {
  const said = '{"message":"No such container: x"}';
  await using daemon = await PlayedDaemon.saying([
    `HTTP/1.1 404 Not Found\r\nContent-Length: ${said.length}\r\n\r\n${said}`,
  ]);
  await assert.rejects(daemon.client.inspectContainer('a/b'), { code: 'not-found', message: 'No such container: x' });
  assert.match(daemon.heard[0] ?? '', /^GET \/containers\/a%2Fb\/json /);
  await using proxy = await PlayedDaemon.saying(['HTTP/1.1 502 Bad Gateway\r\n\r\n<html>']);
  await assert.rejects(proxy.client.version(), { code: 'unknown', message: '<html>' });
});

test('a daemon that is not there is named, with what to do', async () => {
  const client = new DockerClient({ host: 'unix:///nonexistent/docker.sock' });
  await assert.rejects(client.version(), {
    code: 'unavailable',
    message: /unix:\/\/\/nonexistent\/docker.sock: there is no such socket; is it running\? Start it with "hakod"/,
  });
});

test('304 means that it is so already', async () => {
  await using daemon = await PlayedDaemon.saying(['HTTP/1.1 304 Not Modified\r\n\r\n']);
  await daemon.client.startContainer('x');
});

test('a taken-over connection loses nothing that came with its head, and outlives the end of input', async () => {
  const head = 'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';
  const early = Buffer.concat([Buffer.from(head), frame('stdout', Buffer.from('early '))]);
  await using daemon = await PlayedDaemon.saying([early], (socket) => {
    let input = '';
    socket.on('data', (chunk) => (input += chunk.toString())).resume();
    socket.on('end', () => socket.end(frame('stderr', Buffer.from(`heard ${input}`))));
  });
  const hijacked = await daemon.client.attach('x', { stdin: true, stdout: true });
  hijacked.socket.end('typed');
  const parts = await collect(hijacked.output(false));
  assert.deepEqual(
    parts.map(({ stream, data }) => [stream, Buffer.from(data).toString()]),
    [
      ['stdout', 'early '],
      ['stderr', 'heard typed'],
    ],
  );
});

test('an error among the progress is thrown, what came before is given', async () => {
  const lines = '{"status":"Pulling"}\r\n{"errorDetail":{"code":404,"message":"gone"},"error":"gone"}\r\n';
  await using daemon = await PlayedDaemon.saying(['HTTP/1.1 200 OK\r\n\r\n', ...bytewise(lines)]);
  const seen: unknown[] = [];
  const pulling = async (): Promise<void> => {
    for await (const message of daemon.client.pullImage({ fromImage: 'x', tag: 'y' })) seen.push(message);
  };
  await assert.rejects(pulling(), { code: 'not-found', message: 'gone' });
  assert.deepEqual(seen, [{ status: 'Pulling' }]);
});

test('hosts are chosen and read', () => {
  assert.equal(chooseHost(undefined, {}), 'unix:///run/hakobune/docker.sock');
  assert.equal(chooseHost(undefined, { DOCKER_HOST: 'unix:///d' }), 'unix:///d');
  assert.equal(chooseHost(undefined, { DOCKER_HOST: 'unix:///d', HAKO_HOST: 'unix:///h' }), 'unix:///h');
  assert.equal(chooseHost('unix:///f', { HAKO_HOST: 'unix:///h' }), 'unix:///f');
  assert.deepEqual(parseHost('unix:///a/b'), { path: '/a/b' });
  assert.deepEqual(parseHost('tcp://[::1]:2375'), { host: '::1', port: 2375 });
  for (const bad of ['', 'tcp://x', 'ssh://x', 'unix://', 'tcp://x:0', 'x:1'])
    assert.throws(() => parseHost(bad), { code: 'invalid-argument' }, bad);
});
