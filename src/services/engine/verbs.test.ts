import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HakoError } from '#base/errors.ts';
import { checkName, generateName } from './names.ts';
import { numberOf } from './fields.ts';
import { wantedPorts } from './ports.ts';
import { parseSignal } from './signals.ts';
import { startError } from './start.ts';
import { merge } from './merge.ts';
import { parsePs } from './top.ts';

test('generated names are names', () => {
  for (let round = 0; round < 200; round += 1)
    assert.match(checkName(generateName(round % 2 === 0)), /^[a-z]+_[a-z]+\d?$/);
});

test('a name that Docker refuses is refused in its words', () => {
  for (const name of ['a', '-x', 'a b', 'ä1', 'a/b', '']) {
    assert.throws(() => checkName(name), {
      message: `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    });
  }
  assert.equal(checkName('/web.1_x-2'), 'web.1_x-2');
});

test('signals are read by name and number', () => {
  assert.deepEqual(['9', 'KILL', 'sigterm', 'SIGRTMIN+1', 'RTMAX'].map(parseSignal), [9, 9, 15, 35, 64]);
  for (const bad of ['0', '65', 'SIGNO', '', 'RTMIN+40'])
    assert.throws(() => parseSignal(bad), { code: 'invalid-argument' });
});

test('why a container did not start decides its exit code, by the words of the runtime', () => {
  const of = (message: string): [number, string] => {
    const { exitCode, error } = startError(new HakoError('not-found', message));
    return [exitCode, error.code];
  };
  assert.deepEqual(of('exec: "nosuch": executable file not found in $PATH'), [127, 'invalid-argument']);
  assert.deepEqual(of('exec: "/etc/passwd": permission denied'), [126, 'invalid-argument']);
  assert.deepEqual(of('exec: "/etc": is a directory'), [126, 'invalid-argument']);
  assert.match(
    startError(new HakoError('unknown', 'mount /a: not a directory')).error.message,
    /Are you trying to mount a directory onto a file/,
  );
  assert.deepEqual(of('network bridge not found'), [128, 'not-found']);
  assert.equal(
    of(
      'failed to set up container networking: CNI plugin "x": exec: "iptables": executable file not found in $PATH',
    )[0],
    128,
  );
});

test('ports come from bindings, and with -P from what is exposed', () => {
  const config = { ExposedPorts: { '80/tcp': {}, '53/udp': {} } };
  const bound = { PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '8080' }] } };
  assert.deepEqual(wantedPorts(bound, config), [
    { hostIp: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: 'tcp' },
  ]);
  assert.deepEqual(
    wantedPorts({ ...bound, PublishAllPorts: true }, config).map(({ hostPort, containerPort }) => [
      hostPort,
      containerPort,
    ]),
    [
      [8080, 80],
      [0, 53],
    ],
  );
  assert.throws(() => wantedPorts({ PortBindings: { '80/tcp': [{ HostPort: 'x' }] } }, config), {
    code: 'invalid-argument',
  });
  assert.throws(() => wantedPorts({ PortBindings: { '99999/tcp': [] } }, config), { code: 'invalid-argument' });
  assert.throws(() => wantedPorts({ PortBindings: { '80/tcp': [{ HostIp: '300.1.1.1' }] } }, config), {
    message: 'invalid host IP "300.1.1.1" for container port 80/tcp',
  });
});

test('a number that no runtime can take is refused before anything is made', () => {
  assert.equal(numberOf({ Memory: 64 * 1024 * 1024 }, 'Memory'), 67_108_864);
  assert.equal(numberOf({ Memory: null }, 'Memory'), 0);
  for (const Memory of [1e30, 1.5, '1']) {
    assert.throws(() => numberOf({ Memory }, 'Memory'), /field "Memory": must be a whole number/);
  }
});

test('merging gives what comes first and waits for nobody', async () => {
  const slow = Promise.withResolvers<void>();
  async function* one(): AsyncGenerator<string> {
    await slow.promise;
    yield 'slow';
  }
  async function* other(): AsyncGenerator<string> {
    yield 'fast';
    yield 'again';
  }
  const seen: string[] = [];
  for await (const value of merge([one(), other()])) {
    seen.push(value);
    if (value === 'again') slow.resolve();
  }
  assert.deepEqual(seen, ['fast', 'again', 'slow']);
});

test("top shows the container's processes only, however many words a command has", () => {
  const output = 'UID PID CMD\nroot 1 init with words\nroot 2 other\n';
  assert.deepEqual(parsePs(output, new Set([1])), {
    Titles: ['UID', 'PID', 'CMD'],
    Processes: [['root', '1', 'init with words']],
  });
  assert.throws(() => parsePs('UID CMD\n', new Set()), /PID/);
});
