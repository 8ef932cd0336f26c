import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { HakoError } from '#base/errors.ts';
import { frame } from '#wire/docker-stream.ts';
import { drain, err, OpenDoor, out, PlayedAttachment } from './fixture.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);

test('attach multiplexes without a terminal and tells its media type', async () => {
  const played = new PlayedAttachment(false, async function* () {
    yield out('one\n');
    yield err('two\n');
  });
  await using open = await OpenDoor.over({ attach: async () => played });
  const { response, socket, head } = await open.upgrade('/v1.43/containers/x/attach?stream=1&stdout=1&stderr=1');
  assert.equal(response.headers['content-type'], 'application/vnd.docker.multiplexed-stream');
  assert.deepEqual(
    await drain(socket, head),
    Buffer.concat([frame('stdout', bytes('one\n')), frame('stderr', bytes('two\n'))]),
  );
  await played.disposal.promise;
  const old = await open.upgrade('/v1.41/containers/x/attach?stream=1&stdout=1');
  assert.equal(old.response.headers['content-type'], 'application/vnd.docker.raw-stream');
  old.socket.destroy();
});

test('output goes on after the client has closed its half', async () => {
  const played = new PlayedAttachment(false, async function* (self) {
    await self.inputEnd.promise;
    yield out(self.written.join(''));
  });
  await using open = await OpenDoor.over({ attach: async () => played });
  const { socket, head } = await open.upgrade('/containers/x/attach?stream=1&stdin=1&stdout=1');
  socket.write('some ');
  socket.end('input');
  assert.deepEqual(await drain(socket, head), Buffer.from(frame('stdout', bytes('some input'))));
});

test('bytes that came before the connection was taken over are not lost', async () => {
  const ready = Promise.withResolvers<void>();
  const played = new PlayedAttachment(false, async function* (self) {
    await self.inputEnd.promise;
    yield out(self.written.join(''));
  });
  await using open = await OpenDoor.over({ attach: () => ready.promise.then(() => played) });
  const { connect } = await import('node:net');
  const socket = connect({ path: open.path, allowHalfOpen: true });
  const request =
    'POST /containers/x/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';
  socket.end(`${request}early`);
  ready.resolve();
  const answer = (await drain(socket)).toString('latin1');
  assert.match(answer, /^HTTP\/1.1 101 UPGRADED\r\n/);
  assert.ok(answer.endsWith('early'), answer);
});

test('a terminal is raw, is not closed by the end of input, and detaches by its keys', async () => {
  const played = new PlayedAttachment(true, async function* () {
    yield out('$ ');
    await new Promise(() => {});
  });
  await using open = await OpenDoor.over({ attach: async () => played });
  const { response, socket, head } = await open.upgrade(
    '/containers/x/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,x',
  );
  assert.equal(response.headers['content-type'], 'application/vnd.docker.raw-stream');
  socket.write('ls\r\x01');
  socket.write('x');
  assert.equal((await drain(socket, head)).toString(), '$ ');
  assert.equal(played.written.join(''), 'ls\r');
  assert.equal(played.ended, false);
  const bad = await open.ask('POST', '/containers/x/attach?detachKeys=nonsense');
  assert.equal(bad.status, 400);
});

test('without an upgrade the answer is raw bytes until the connection closes', async () => {
  const played = new PlayedAttachment(false, async function* () {
    yield out('x');
  });
  await using open = await OpenDoor.over({ attach: async () => played });
  const { status, headers, text } = await open.ask('POST', '/containers/x/attach?stream=1&stdout=1');
  assert.equal(status, 200);
  assert.equal(headers['transfer-encoding'], undefined);
  assert.equal(headers['content-type'], 'application/vnd.docker.raw-stream');
  assert.equal(text, '\x01\0\0\0\0\0\0\x01x');
});

test('an attach that fails is an HTTP error even when an upgrade was asked for', async () => {
  await using open = await OpenDoor.over({ attach: () => Promise.reject(new HakoError('conflict', 'is paused')) });
  await assert.rejects(open.upgrade('/containers/x/attach'), /not upgraded: 409/);
});

test('a slow client slows the container down instead of filling memory', async () => {
  let given = 0;
  const chunk = Buffer.alloc(64 * 1024);
  const played = new PlayedAttachment(true, async function* () {
    for (let index = 0; index < 1000; index += 1) {
      given += chunk.length;
      yield { stream: 'stdout' as const, data: chunk };
    }
  });
  await using open = await OpenDoor.over({ attach: async () => played });
  const { socket, head } = await open.upgrade('/containers/x/attach?stream=1&stdout=1');
  socket.pause();
  let before = -1;
  while (before !== given) {
    before = given;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(given < 8 * 1024 * 1024, `${given} bytes were taken from the process while nobody read`);
  assert.equal((await drain(socket, head)).length, 1000 * chunk.length);
});

test('a client that closes both halves ends the call, though its input had ended before', async () => {
  const ended = Promise.withResolvers<void>();
  const played = new PlayedAttachment(false, async function* () {
    yield out('ready');
    await new Promise(() => {});
  });
  await using open = await OpenDoor.over({
    attach: async (call) => {
      call.signal.addEventListener('abort', () => ended.resolve());
      return played;
    },
  });
  const { socket } = await open.upgrade('/containers/x/attach?stream=1&stdout=1');
  socket.on('error', () => {});
  socket.destroy();
  await ended.promise;
});

test('exec start reads its body before the connection is taken over', async () => {
  const seen: unknown[] = [];
  const played = new PlayedAttachment(true, async function* () {
    yield out('hi');
  });
  await using open = await OpenDoor.over({
    execInspect: async () => ({ OpenStdin: true }),
    execStart: async (_call, id, options) => (seen.push(id, options), played),
    execResize: async (_call, id, size) => void seen.push(id, size),
  });
  const { socket, head } = await open.upgrade('/exec/e1/start', '{"Detach":false,"Tty":true,"ConsoleSize":[24,80]}');
  assert.equal((await drain(socket, head)).toString(), 'hi');
  assert.deepEqual(seen, ['e1', { detach: false, tty: true }, 'e1', { height: 24, width: 80 }]);
});

test('an exec that cannot start says why in its stream', async () => {
  await using open = await OpenDoor.over({
    execInspect: async () => ({}),
    execStart: () =>
      Promise.reject(new HakoError('invalid-argument', 'exec: "nosuch": executable file not found in $PATH')),
  });
  const { socket, head } = await open.upgrade('/exec/e1/start', '{}');
  assert.match((await drain(socket, head)).toString(), /^\x02.*executable file not found in \$PATH\r\n$/s);
});

test('logs print times with nine digits, and only where a line begins', async () => {
  const record = (text: string, time = '2026-01-02T03:04:05.12Z') => ({
    stream: 'stdout' as const,
    time,
    data: bytes(text),
  });
  const asked: unknown[] = [];
  await using open = await OpenDoor.over({
    logs: async (_call, _ref, options) => {
      asked.push(options);
      return {
        tty: true,
        records: (async function* () {
          yield record('a long ');
          yield record('line\n');
          yield record('next\n', '2026-01-02T03:04:06+01:00');
        })(),
      };
    },
  });
  const { text } = await open.ask('GET', '/containers/x/logs?stdout=1&timestamps=1&tail=5&since=1767323045.5&follow=1');
  assert.equal(text, '2026-01-02T03:04:05.120000000Z a long line\n2026-01-02T03:04:06.000000000+01:00 next\n');
  assert.deepEqual(asked, [{ follow: true, stdout: true, stderr: false, tail: 5, since: new Date(1767323045500) }]);
  const { text: detailed } = await open.ask('GET', '/containers/x/logs?stdout=1&details=1');
  assert.equal(detailed, ' a long line\n next\n');
  assert.equal((await open.ask('GET', '/containers/x/logs')).status, 400);
});

test('a log that is followed ends when its reader leaves', async () => {
  const ended = Promise.withResolvers<void>();
  await using open = await OpenDoor.over({
    logs: async (call) => ({
      tty: true,
      records: (async function* () {
        yield { stream: 'stdout' as const, time: 't', data: bytes('x') };
        await once(call.signal, 'abort');
        ended.resolve();
      })(),
    }),
  });
  const { connect } = await import('node:net');
  const socket = connect(open.path);
  socket.write('GET /containers/x/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(socket, 'data');
  socket.destroy();
  await ended.promise;
});
