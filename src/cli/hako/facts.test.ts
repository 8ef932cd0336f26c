import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostPort, imageName, printPorts, shortId } from './facts.ts';
import { filters } from './filters.ts';
import { moment } from './moment.ts';

test('ports are told as docker tells them: neighbours together, others alone', () => {
  const open = (PrivatePort: number, PublicPort: number, IP = '0.0.0.0') => ({
    IP,
    PrivatePort,
    PublicPort,
    Type: 'tcp',
  });
  assert.equal(printPorts([open(80, 8080), { PrivatePort: 443, Type: 'tcp' }]), '443/tcp, 0.0.0.0:8080->80/tcp');
  assert.equal(printPorts([open(7001, 7001), open(7000, 7000), open(7002, 7002)]), '0.0.0.0:7000-7002->7000-7002/tcp');
  assert.equal(printPorts([open(53, 53, '::')]), '[::]:53->53/tcp');
  assert.equal(printPorts([]), '');
  assert.equal(hostPort('::1', '80'), '[::1]:80');
});

test('images are called as people know them', () => {
  const id = `sha256:${'ab'.repeat(32)}`;
  assert.equal(imageName('docker.io/library/alpine:3', id), 'alpine:3');
  assert.equal(imageName(`alpine@${id}`, 'x'), 'alpine');
  assert.equal(imageName(id, id), 'abababababab');
  assert.equal(imageName('', id), '<no image>');
  assert.equal(shortId(id), 'abababababab');
});

test('filters collect under their names', () => {
  assert.deepEqual(filters(['status=running', 'label=a=b', 'status=exited']), {
    status: ['running', 'exited'],
    label: ['a=b'],
  });
  assert.throws(() => filters(['running']), /must be NAME=VALUE/);
});

test('a moment is a time, a number of seconds, or a span ago', () => {
  const now = Date.parse('2026-01-02T00:00:00Z');
  assert.equal(moment('--since', '2026-01-01T00:00:00Z', now), '1767225600.000');
  assert.equal(moment('--since', '1h30m', now), String((now - 5_400_000) / 1000) + '.000');
  assert.equal(moment('--since', '1767225600.5', now), '1767225600.5');
  assert.equal(moment('--since', undefined, now), undefined);
  assert.throws(() => moment('--since', 'yesterday', now), /invalid argument "yesterday" for --since/);
});
