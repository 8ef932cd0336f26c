import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./bin.ts', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Plays the daemon for the real program in a process of its own. */
class PlayedDaemon implements AsyncDisposable {
  readonly asked: string[] = [];
  readonly signals: string[] = [];
  /** How the container ends; a test that wants it to live on resolves this itself. */
  readonly exit = Promise.withResolvers<number>();
  readonly server: Server;
  startError: { status: number; message: string } | undefined;
  images = true;
  readonly #taken = new Set<Duplex>();
  readonly #directory: string;
  readonly #path: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.#path = join(directory, 's');
    this.server = createServer((request, response) => void this.#answer(request, response));
    this.server.on('upgrade', (request, socket) => {
      this.#taken.add(socket);
      this.asked.push(`${request.method} ${request.url}`);
      socket.on('error', () => {});
      socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
      let input = '';
      socket.on('data', (chunk: Buffer) => (input += chunk.toString()));
      const typed = new Promise<void>((resolve) => void socket.on('end', resolve));
      void this.exit.promise.then(async () => {
        if (request.url?.includes('stdin=1')) await typed;
        const say = (stream: number, text: string): Buffer =>
          Buffer.concat([Buffer.from([stream, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);
        socket.end(Buffer.concat([say(1, `out ${input}`), say(2, 'err')]));
      });
    });
  }

  static async open(): Promise<PlayedDaemon> {
    const played = new PlayedDaemon(await mkdtemp(join(tmpdir(), 'hako-cli-')));
    await new Promise<void>((resolve) => played.server.listen(played.#path, resolve));
    return played;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://x');
    this.asked.push(`${request.method} ${request.url}`);
    const json = (status: number, value: unknown): void => {
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
    };
    if (url.pathname === '/containers/create') {
      if (!this.images) return json(404, { message: 'No such image: alpine:latest' });
      return json(201, { Id: 'c1', Warnings: ['be careful'] });
    }
    if (url.pathname === '/images/create') {
      this.images = true;
      return void response.end(
        '{"status":"Pulling from library/alpine","id":"latest"}\r\n{"status":"Status: Downloaded"}\r\n',
      );
    }
    if (url.pathname === '/containers/c1/start') {
      if (this.startError !== undefined) return json(this.startError.status, { message: this.startError.message });
      return void response.writeHead(204).end();
    }
    if (url.pathname === '/containers/c1/wait') {
      response.writeHead(200, { 'Content-Type': 'application/json' }).flushHeaders();
      return void this.exit.promise.then((StatusCode) => response.end(JSON.stringify({ StatusCode })));
    }
    if (url.pathname === '/containers/c1/kill') {
      this.signals.push(url.searchParams.get('signal') ?? '');
      response.writeHead(204).end();
      if (this.signals.length === 2) this.exit.resolve(143);
      return;
    }
    if (url.pathname === '/containers/json') return json(200, []);
    json(501, { message: `${url.pathname} is not implemented` });
  }

  run(words: readonly string[], input = '', onChild?: (child: ReturnType<typeof spawn>) => void): Promise<Ended> {
    const env = { ...process.env, HAKO_HOST: `unix://${this.#path}`, DOCKER_CONFIG: this.#directory };
    const child = spawn(process.execPath, ['--no-warnings', program, ...words], { env });
    onChild?.(child);
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    return new Promise((resolve) => void child.on('close', (code) => resolve({ code, out, err })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    for (const socket of this.#taken) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
    await rm(this.#directory, { recursive: true });
  }
}

test('run attaches, waits, starts, keeps the streams apart, and ends as the container does', async () => {
  await using daemon = await PlayedDaemon.open();
  daemon.exit.resolve(7);
  const { code, out, err } = await daemon.run(['run', '-i', '--rm', '--name', 'web', 'alpine', 'cat'], 'typed');
  assert.deepEqual([code, out, err], [7, 'out typed', 'WARNING: be careful\nerr']);
  assert.deepEqual(daemon.asked, [
    'POST /containers/create?name=web',
    'POST /containers/c1/attach?stream=1&stdin=1&stdout=1&stderr=1',
    'POST /containers/c1/wait?condition=removed',
    'POST /containers/c1/start',
  ]);
});

test('run pulls an image that is missing, and tells about it on stderr', async () => {
  await using daemon = await PlayedDaemon.open();
  daemon.exit.resolve(0);
  daemon.images = false;
  const { code, out, err } = await daemon.run(['run', 'alpine']);
  assert.deepEqual([code, out], [0, 'out ']);
  assert.match(
    err,
    /^Unable to find image 'alpine:latest' locally\nlatest: Pulling from library\/alpine\nStatus: Downloaded\n/,
  );
  daemon.images = false;
  const never = await daemon.run(['run', '--pull', 'never', 'alpine']);
  assert.deepEqual([never.code, never.err], [125, 'hako: No such image: alpine:latest\n']);
});

test('what does not start has the codes of a shell', async () => {
  await using daemon = await PlayedDaemon.open();
  const cases = [
    ['exec: "x": executable file not found in $PATH', 127],
    ['exec: "/etc": permission denied', 126],
    ['the kernel does not want to', 125],
  ] as const;
  for (const [message, wanted] of cases) {
    daemon.startError = { status: 400, message };
    const { code, err } = await daemon.run(['run', 'alpine', 'x']);
    assert.deepEqual([code, err.split('\n').at(-2)], [wanted, `hako: ${message}`]);
  }
});

test('each signal reaches the container, the second as well as the first', async () => {
  await using daemon = await PlayedDaemon.open();
  const ended = daemon.run(['run', 'alpine'], '', (child) => {
    // The first is sent as soon as the start was asked for, and the second when the first has arrived.
    const timer = setInterval(() => {
      const started = daemon.asked.some((line) => line.endsWith('/start'));
      const [first] = daemon.signals;
      if (started && first === undefined) child.kill('SIGTERM');
      else if (first !== undefined) child.kill('SIGINT');
      if (daemon.signals.length >= 2) clearInterval(timer);
    }, 50);
  });
  const { code } = await ended;
  assert.equal(code, 143);
  assert.equal(daemon.signals[0], 'SIGTERM');
});

test('in the background the id is all there is', async () => {
  await using daemon = await PlayedDaemon.open();
  const { code, out } = await daemon.run(['run', '-d', 'alpine']);
  assert.deepEqual([code, out], [0, 'c1\n']);
  assert.deepEqual(daemon.asked, ['POST /containers/create', 'POST /containers/c1/start']);
});

test('a terminal inside needs one outside', async () => {
  await using daemon = await PlayedDaemon.open();
  const { code, err } = await daemon.run(['run', '-it', 'alpine']);
  assert.deepEqual([code, err, daemon.asked], [1, 'hako: the input device is not a TTY\n', []]);
});

test('mistyped commands and flags are answered with what was meant', async () => {
  await using daemon = await PlayedDaemon.open();
  const cases: [string[], number, RegExp][] = [
    [['sp'], 1, /unknown command: hako sp; did you mean "ps"\?/],
    [['container', 'lss'], 1, /unknown command: hako container lss; did you mean "ls"\?/],
    [['run', '--nmae', 'x', 'alpine'], 125, /unknown flag: --nmae; did you mean --name\?\n\nRun 'hako run --help'/],
    [['run'], 1, /'hako run' requires at least 1 argument/],
    [['--hots', 'x', 'ps'], 125, /unknown flag: --hots; did you mean --host\?/],
    [['toString'], 1, /unknown command: hako toString/],
  ];
  for (const [words, code, message] of cases) {
    const ended = await daemon.run(words);
    assert.equal(ended.code, code, words.join(' '));
    assert.match(ended.err, message);
  }
});

test('help and version need no daemon', async () => {
  await using daemon = await PlayedDaemon.open();
  const version = await daemon.run(['--version']);
  assert.match(version.out, /^Hakobune version \d+\.\d+\.\d+\n$/);
  for (const words of [
    ['run', '--help'],
    ['help', 'run'],
  ]) {
    const { code, out } = await daemon.run(words);
    assert.equal(code, 0);
    assert.match(out, /^Usage: {2}hako run \[OPTIONS\] IMAGE[^]*Examples:\n/);
  }
  assert.match((await daemon.run(['container', '--help'])).out, /Usage: {2}hako container COMMAND/);
  assert.deepEqual(daemon.asked, []);
});

test('an empty listing is its titles, or an empty array', async () => {
  await using daemon = await PlayedDaemon.open();
  assert.equal(
    (await daemon.run(['ps'])).out,
    'CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n',
  );
  assert.equal((await daemon.run(['container', 'ls', '--json'])).out, '[]\n');
});

test('the launcher leaves --env-file to hako: Node has a flag of that name and would read the file as its own', async () => {
  const launcher = fileURLToPath(new URL('../../../bin/hako', import.meta.url));
  const child = spawn(launcher, ['run', '--env-file', '/nosuch', 'x'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let err = '';
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  assert.equal(code, 125);
  assert.match(err, /^hako: .*\/nosuch/);
});
