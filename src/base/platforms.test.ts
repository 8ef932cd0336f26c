import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatPlatform,
  hostPlatform,
  matchPlatform,
  normalizePlatform,
  parsePlatform,
  platformPreference,
} from './platforms.ts';

const host = hostPlatform();

test('parsePlatform() reads all the forms that containerd reads', () => {
  assert.deepEqual(parsePlatform('linux/amd64'), { os: 'linux', architecture: 'amd64' });
  assert.deepEqual(parsePlatform('linux/x86_64'), { os: 'linux', architecture: 'amd64' });
  assert.deepEqual(parsePlatform('linux/aarch64'), { os: 'linux', architecture: 'arm64' });
  assert.deepEqual(parsePlatform('linux/arm64/v8'), { os: 'linux', architecture: 'arm64', variant: 'v8' });
  assert.deepEqual(parsePlatform('linux/arm'), { os: 'linux', architecture: 'arm' });
  assert.deepEqual(parsePlatform('linux/arm/7'), { os: 'linux', architecture: 'arm', variant: 'v7' });
  assert.deepEqual(parsePlatform('linux/armel'), { os: 'linux', architecture: 'arm', variant: 'v6' });
  assert.deepEqual(parsePlatform('macos/arm64'), { os: 'darwin', architecture: 'arm64' });
  assert.deepEqual(parsePlatform('windows(10.0.17763)/amd64'), {
    os: 'windows',
    architecture: 'amd64',
    'os.version': '10.0.17763',
  });
  assert.deepEqual(parsePlatform('s390x'), { os: host.os, architecture: 's390x' });
  assert.equal(parsePlatform('linux').architecture, host.architecture);
});

test('parsePlatform() refuses what is no platform and says what it wants', () => {
  for (const text of [
    '',
    '/',
    'linux/',
    'linux/amd64/v1/x',
    'linux/*',
    'gnu',
    'linux/am d64',
    `linux/${'x'.repeat(1000)}`,
  ]) {
    assert.throws(() => parsePlatform(text), { code: 'invalid-argument' }, text);
  }
});

test('a platform is written as it was read', () => {
  for (const text of ['linux/amd64', 'linux/arm64/v8', 'linux/arm/v7'])
    assert.equal(formatPlatform(parsePlatform(text)), text);
});

test('the host platform is of this machine and fits itself best', () => {
  assert.equal(host.os, process.platform);
  assert.equal(matchPlatform(host, host), 0);
});

test('a platform prefers its own variant, then lower ones, then the 32-bit kin', () => {
  const words = (text: string): string[] => platformPreference(parsePlatform(text)).map(formatPlatform);
  assert.deepEqual(words('linux/amd64'), ['linux/amd64', 'linux/386']);
  assert.deepEqual(words('linux/amd64/v3'), ['linux/amd64/v3', 'linux/amd64/v2', 'linux/amd64', 'linux/386']);
  assert.deepEqual(words('linux/arm/v7'), ['linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5']);
  assert.deepEqual(words('linux/arm64'), [
    'linux/arm64',
    'linux/arm/v8',
    'linux/arm/v7',
    'linux/arm/v6',
    'linux/arm/v5',
  ]);
  assert.deepEqual(words('linux/arm64/v9').slice(0, 3), ['linux/arm64/v9', 'linux/arm64/v8.5', 'linux/arm64/v8.4']);
});

test('matchPlatform() ranks what an index offers', () => {
  const amd64 = parsePlatform('linux/amd64');
  assert.equal(matchPlatform(amd64, { os: 'linux', architecture: 'amd64' }), 0);
  assert.equal(matchPlatform(amd64, { os: 'linux', architecture: '386' }), 1);
  assert.equal(matchPlatform(amd64, { os: 'linux', architecture: 'arm64', variant: 'v8' }), undefined);
  assert.equal(matchPlatform(amd64, { os: 'unknown', architecture: 'unknown' }), undefined);
  assert.equal(matchPlatform(parsePlatform('linux/arm64'), { os: 'linux', architecture: 'arm64', variant: 'v8' }), 0);
  assert.equal(matchPlatform(parsePlatform('linux/arm64/v8'), { os: 'linux', architecture: 'arm64' }), 0);
  assert.deepEqual(normalizePlatform({ os: 'Linux', architecture: 'AARCH64', variant: 'v8' }), {
    os: 'linux',
    architecture: 'arm64',
  });
});
