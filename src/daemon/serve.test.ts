import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { check, libc } from '#sys/libc.ts';

/** A process that runs hakod with a house of one room: what `build` is, in TypeScript. */
class Daemon {
  readonly child: ChildProcess;
  output = '';
  readonly gone: Promise<number | string>;

  constructor(t: TestContext, args: string[], build: string, env: Record<string, string> = {}) {
    const source = `
      import { writeSync } from 'node:fs';
      import { HakoError } from ${JSON.stringify(new URL('../base/errors.ts', import.meta.url).href)};
      const { hakod } = await import(${JSON.stringify(new URL('hakod.ts', import.meta.url).href)});
      const say = (text) => writeSync(1, text + '\\n');
      process.exit(await hakod(process.argv.slice(1), ${build}));`;
    this.child = spawn(process.execPath, ['--input-type=module', '-e', source, '--', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    const keep = (chunk: Buffer): void => {
      this.output += chunk.toString();
    };
    this.child.stdout!.on('data', keep);
    this.child.stderr!.on('data', keep);
    this.gone = new Promise((resolve) =>
      this.child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown')),
    );
    t.after(async () => {
      this.child.kill('SIGKILL');
      await this.gone;
    });
  }

  async says(what: string): Promise<void> {
    while (!this.output.includes(what)) {
      const ended = await Promise.race([
        this.gone,
        new Promise<undefined>((resolve) => setTimeout(resolve, 10, undefined)),
      ]);
      if (ended !== undefined && !this.output.includes(what)) assert.fail(`it ended with ${ended}: ${this.output}`);
    }
  }
}

const simple = `async ({ signal }) => {
  signal.addEventListener('abort', () => say('life ended'));
  return { close: async () => say('house closed') };
}`;

function directories(t: TestContext): string[] {
  const home = mkdtempSync(join(tmpdir(), 'hako-serve-'));
  t.after(() => rmSync(home, { recursive: true }));
  writeFileSync(join(home, 'config.toml'), 'version = 3\n');
  return ['--root', join(home, 'r'), '--state', join(home, 's'), '--config', join(home, 'config.toml')];
}

test('SIGTERM closes the house, then ends its life, then the process with 0', async (t) => {
  const daemon = new Daemon(t, directories(t), simple);
  await daemon.says('hakod is serving');
  daemon.child.kill('SIGTERM');
  assert.equal(await daemon.gone, 0, daemon.output);
  assert.match(daemon.output, /house closed\n[^]*life ended/);
  assert.match(daemon.output, /containers run on/);
});

test('a second daemon on the same root is refused with the pid of the first, a third after kill -9 is not', async (t) => {
  const [where, elsewhere] = [directories(t), directories(t)];
  const first = new Daemon(t, where, simple);
  await first.says('hakod is serving');
  for (const args of [
    where,
    [...where.slice(0, 2), ...elsewhere.slice(2)],
    [...elsewhere.slice(0, 2), ...where.slice(2)],
  ]) {
    const second = new Daemon(t, args, simple);
    assert.equal(await second.gone, 1);
    assert.match(second.output, new RegExp(`another hakod \\(pid ${first.child.pid}\\) is using it`));
  }
  first.child.kill('SIGKILL');
  await first.gone;
  const third = new Daemon(t, where, simple);
  await third.says('hakod is serving');
  assert.equal(readFileSync(join(where[1]!, 'lock'), 'utf8'), `${third.child.pid}\n`);
});

test('a second signal ends a daemon that hangs while it stops', async (t) => {
  const daemon = new Daemon(
    t,
    directories(t),
    `async () => ({ close: () => { say('closing'); return new Promise((r) => setTimeout(r, 60000)); } })`,
  );
  await daemon.says('hakod is serving');
  daemon.child.kill('SIGTERM');
  await daemon.says('closing');
  daemon.child.kill('SIGINT');
  assert.equal(await daemon.gone, 1);
  assert.match(daemon.output, /leaving at once/);
});

test('a signal while the house is being built closes what was built', async (t) => {
  const build = `async ({ signal }) => {
    say('building');
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return { close: async () => say('house closed') };
  }`;
  const daemon = new Daemon(t, directories(t), build);
  await daemon.says('building');
  daemon.child.kill('SIGTERM');
  assert.equal(await daemon.gone, 0, daemon.output);
  assert.match(daemon.output, /house closed/);
});

test('a house that cannot be built ends the daemon with 1 and one line', async (t) => {
  const daemon = new Daemon(
    t,
    directories(t),
    `async () => { throw new HakoError('failed-precondition', 'the keel is cracked'); }`,
  );
  assert.equal(await daemon.gone, 1);
  assert.match(daemon.output.trim().split('\n').at(-1)!, /^\{.*"level":"fatal","msg":"the keel is cracked"\}$/);
});

test('an error that nobody caught is logged and ends the daemon with 1', async (t) => {
  const daemon = new Daemon(
    t,
    directories(t),
    `async () => { setTimeout(() => { throw new Error('overboard'); }, 10); return { close: async () => {} }; }`,
  );
  assert.equal(await daemon.gone, 1);
  assert.match(daemon.output, /"level":"fatal","msg":"uncaught error: overboard"/);
});

const socket = libc('int socket(int domain, int type, int protocol)');
const bind = libc('int bind(int fd, const void *address, unsigned int size)');
const recv = libc('long recv(int fd, _Out_ uint8_t *buffer, size_t length, int flags)');

test('systemd is told when the daemon is ready and when it stops', async (t) => {
  const where = directories(t);
  const path = join(mkdtempSync(join(tmpdir(), 'hako-notify-')), 'n');
  t.after(() => rmSync(join(path, '..'), { recursive: true }));
  // AF_UNIX, SOCK_DGRAM with SOCK_NONBLOCK and SOCK_CLOEXEC.
  const fd = check(socket(1, 2 | 0o4000 | 0o2000000, 0), 'socket', path);
  t.after(() => closeSync(fd));
  const address = Buffer.from(`\x01\x00${path}\0`, 'latin1');
  check(bind(fd, address, address.length), 'bind', path);
  const next = (): string => {
    const buffer = Buffer.alloc(512);
    const length = Number(recv(fd, buffer, buffer.length, 0));
    return length < 0 ? '' : buffer.toString('utf8', 0, length);
  };
  const daemon = new Daemon(
    t,
    where,
    simple.replace('async ({ signal }) => {', "async ({ signal }) => { say('socket=' + process.env.NOTIFY_SOCKET);"),
    {
      NOTIFY_SOCKET: path,
    },
  );
  await daemon.says('hakod is serving');
  // The line comes just before the message.
  let ready = next();
  while (ready === '') {
    await new Promise((resolve) => setTimeout(resolve, 10));
    ready = next();
  }
  assert.equal(ready, 'READY=1\nSTATUS=serving');
  assert.match(daemon.output, /socket=undefined/);
  daemon.child.kill('SIGTERM');
  assert.equal(await daemon.gone, 0);
  assert.equal(next(), 'STOPPING=1\nSTATUS=stopping');
});
