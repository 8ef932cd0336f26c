import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { parseFlags } from '../flags.ts';
import { containerRequest } from './container-request.ts';
import { createFlags } from './create-flags.ts';
import { mounts, splitCsv, volumes } from './mounts.ts';
import { publish } from './ports.ts';
import { bytes, devices, environmentOf, nanoCpus, pairs } from './values.ts';

const request = (...words: string[]) =>
  containerRequest(parseFlags(createFlags, words, { interspersed: false }), { HOME: '/home/x' });
const host = (...words: string[]) => request(...words)['HostConfig'] as Record<string, unknown>;

test('a plain run asks for what docker asks for', () => {
  const plain = request('alpine', 'echo', 'hi');
  assert.deepEqual(
    [
      plain.Image,
      plain['Cmd'],
      plain.AttachStdin,
      plain.AttachStdout,
      plain.AttachStderr,
      plain.Tty,
      plain['OpenStdin'],
      plain['StdinOnce'],
    ],
    ['alpine', ['echo', 'hi'], false, true, true, false, false, false],
  );
  assert.equal('Entrypoint' in plain, false);
  const typing = request('-it', 'alpine');
  assert.deepEqual(
    [typing.AttachStdin, typing['OpenStdin'], typing['StdinOnce'], typing.Tty, typing['Cmd']],
    [true, true, true, true, null],
  );
});

test('flags reach the fields that the API has for them', () => {
  const config = host(
    '--rm',
    '-m',
    '512m',
    '--cpus',
    '1.5',
    '--cap-add',
    'NET_ADMIN',
    '--read-only',
    '--tmpfs',
    '/run:size=1m',
    '--net',
    'none',
    '--privileged',
    'a',
  );
  assert.deepEqual(
    [
      config['AutoRemove'],
      config['Memory'],
      config['NanoCpus'],
      config['CapAdd'],
      config['ReadonlyRootfs'],
      config['Tmpfs'],
      config['NetworkMode'],
      config['Privileged'],
    ],
    [true, 512 * 1024 ** 2, 1.5e9, ['NET_ADMIN'], true, { '/run': 'size=1m' }, 'none', true],
  );
  const top = request(
    '-w',
    '/src',
    '-u',
    '1:2',
    '--hostname',
    'box',
    '-l',
    'a=b',
    '-l',
    'c',
    '--entrypoint',
    '',
    '--stop-signal',
    'INT',
    'a',
  );
  assert.deepEqual(
    [top['WorkingDir'], top['User'], top['Hostname'], top['Labels'], top['Entrypoint'], top['StopSignal']],
    ['/src', '1:2', 'box', { a: 'b', c: '' }, [''], 'INT'],
  );
});

test('what contradicts itself or is not there yet is refused', () => {
  assert.throws(() => request('--init', 'a'), /--init is not implemented/);
  assert.throws(() => request('--rm', '--restart', 'always', 'a'), /cannot specify both --restart and --rm/);
  assert.throws(() => request('-a', 'nose', 'a'), /valid streams are STDIN, STDOUT and STDERR/);
  assert.throws(() => request('--no-healthcheck', '--health-cmd', 'x', 'a'), /--no-healthcheck conflicts/);
});

test('environment comes from flags, files and, for a name alone, from here', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hako-env-'));
  try {
    const file = join(directory, 'env');
    writeFileSync(file, '# said\n\nA=1\nHOME\n  B= x \nMISSING\n');
    assert.deepEqual(environmentOf([file], ['C=3', 'HOME', 'ABSENT', 'E='], { HOME: '/h' }), [
      'A=1',
      'HOME=/h',
      'B= x ',
      'C=3',
      'HOME=/h',
      'E=',
    ]);
    writeFileSync(file, 'A B=1\n');
    assert.throws(() => environmentOf([file], [], {}), /variable "A B" contains whitespaces/);
    assert.throws(() => environmentOf([join(directory, 'none')], [], {}), /cannot read ".*none": ENOENT/);
    assert.throws(() => environmentOf([], ['=x'], {}), /invalid environment variable/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('ports are published alone, on an address, in ranges and in the long form', () => {
  const at = (HostPort: string, HostIp = '') => [{ HostIp, HostPort }];
  assert.deepEqual(publish(['80', '8080:80/udp', '127.0.0.1::53', '[::1]:1:1'], []).bindings, {
    '80/tcp': at(''),
    '80/udp': at('8080'),
    '53/tcp': at('', '127.0.0.1'),
    '1/tcp': at('1', '::1'),
  });
  assert.deepEqual(publish(['8000-8001:80-81'], []).bindings, { '80/tcp': at('8000'), '81/tcp': at('8001') });
  assert.deepEqual(publish(['8000-8005:80'], []).bindings, { '80/tcp': at('8000-8005') });
  assert.deepEqual(publish(['target=80,published=8080'], []).bindings, { '80/tcp': at('8080') });
  assert.deepEqual(Object.keys(publish(['1:2'], ['7-8/udp']).exposed), ['2/tcp', '7/udp', '8/udp']);
  for (const bad of ['x', '0', '70000', '5-4', '1-2:1-3', ':', '1:2:3:4'])
    assert.throws(() => publish([bad], []), /invalid port/, bad);
});

test('volumes are binds or anonymous, and begin at this directory where they begin with a dot', () => {
  assert.deepEqual(volumes(['/a:/b:ro', './x:/y', 'data:/d', '/only']), {
    binds: ['/a:/b:ro', `${resolve('x')}:/y`, 'data:/d'],
    anonymous: { '/only': {} },
  });
  for (const bad of ['', 'a::b', 'a:b:c:d']) assert.throws(() => volumes([bad]), /invalid volume/, bad);
});

test('mounts are read field by field', () => {
  assert.deepEqual(
    mounts([
      'type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave',
      'target=/v',
      'type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777',
    ]),
    [
      { Type: 'bind', Source: '/a', Target: '/b', ReadOnly: true, BindOptions: { Propagation: 'rslave' } },
      { Type: 'volume', Target: '/v' },
      { Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 1024 ** 2, Mode: 0o1777 } },
    ],
  );
  assert.throws(() => mounts(['type=bind,source=/a']), /target is required/);
  assert.throws(() => mounts(['target=/a,colour=red']), /unexpected key "colour"/);
  assert.throws(() => mounts(['target=/a,source']), /"source" needs a value/);
  assert.deepEqual(splitCsv('"source=/a,b",target=/c'), ['source=/a,b', 'target=/c']);
});

test('sizes, processors, devices and pairs', () => {
  assert.deepEqual(
    ['1', '2k', '1.5g', '3MiB', '4kb'].map((text) => bytes('-m', text)),
    [1, 2048, 1.5 * 1024 ** 3, 3 * 1024 ** 2, 4096],
  );
  for (const bad of ['', '-1', 'x', '1x']) assert.throws(() => bytes('-m', bad), /must be a size/);
  assert.deepEqual([nanoCpus('--cpus', '.5'), nanoCpus('--cpus', '2')], [5e8, 2e9]);
  assert.throws(() => nanoCpus('--cpus', '1e3'), /must be a number/);
  assert.deepEqual(devices(['/dev/a', '/dev/a:r', '/dev/a:/dev/b:rw']), [
    { PathOnHost: '/dev/a', PathInContainer: '/dev/a', CgroupPermissions: 'rwm' },
    { PathOnHost: '/dev/a', PathInContainer: '/dev/a', CgroupPermissions: 'r' },
    { PathOnHost: '/dev/a', PathInContainer: '/dev/b', CgroupPermissions: 'rw' },
  ]);
  assert.deepEqual(pairs(['a=b=c', 'd']), { a: 'b=c', d: '' });
});
