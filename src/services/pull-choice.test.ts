import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostPlatform } from '#base/platforms.ts';
import type { Descriptor, Platform } from '#core/images.ts';
import { chooseChildren, chooseUnpack, isForeign, samePlatform } from './pull-choice.ts';
import type { PullOptions } from './pull-options.ts';

const linux = (architecture: string, variant?: string): Platform => ({
  os: 'linux',
  architecture,
  ...(variant === undefined ? {} : { variant }),
});
const child = (name: string, platform?: Platform): Descriptor => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: `sha256:${name}`,
  size: 1,
  ...(platform === undefined ? {} : { platform }),
});
const children = [
  child('386', linux('386')),
  child('amd64', linux('amd64')),
  child('v7', linux('arm', 'v7')),
  child('proof', { os: 'unknown', architecture: 'unknown' }),
  child('artifact'),
];

test('chooseChildren() takes the best one for Docker, and all that are wanted for containerd', () => {
  const chosen = (options: PullOptions): string =>
    chooseChildren('x', children, options)
      .map(({ digest }) => digest.slice('sha256:'.length))
      .join(' ');
  const amd64 = [linux('amd64')];
  assert.equal(chosen({ platform: linux('amd64') }), 'amd64');
  assert.equal(chosen({ platform: linux('arm', 'v8') }), 'v7');
  // Nothing stands in for another here, and what does not say is always wanted.
  assert.equal(chosen({ platforms: amd64 }), 'amd64 artifact');
  assert.equal(chosen({ platforms: [linux('arm', 'v8')] }), 'artifact');
  assert.equal(chosen({ platforms: 'all' }), '386 amd64 v7 proof artifact');
  assert.equal(chosen({ platforms: amd64, allMetadata: true }), '386 amd64 v7 proof artifact');
  assert.equal(chosen({ platforms: [linux('arm', 'v7'), ...amd64], manifestLimit: 1 }), 'v7');
  assert.equal(chosen({ platforms: [linux('arm', 'v7'), ...amd64], manifestLimit: 9 }), 'v7 amd64 artifact');
  assert.throws(() => chooseChildren('x', children.slice(0, 1), { platforms: amd64, manifestLimit: 1 }), {
    code: 'not-found',
    message: 'image "x": no match for platform in manifest: not found',
  });
});

test('isForeign() is what is fetched for its config alone', () => {
  const options: PullOptions = { platforms: [linux('amd64')], allMetadata: true };
  assert.deepEqual(
    children.map((one) => isForeign(one, options)),
    [true, false, true, true, false],
  );
  assert.equal(isForeign(child('386', linux('386')), { platforms: [linux('amd64')] }), false);
});

test('chooseUnpack() unpacks what Docker pulls, and for containerd what can run where it was asked for', () => {
  const host = hostPlatform();
  const far = linux('s390x');
  assert.equal(chooseUnpack(far, {}, 'o'), 'o');
  assert.equal(chooseUnpack(far, { snapshotter: 'n' }, 'o'), 'n');
  assert.equal(chooseUnpack(host, { platforms: 'all' }, 'o'), 'o');
  assert.equal(chooseUnpack(far, { platforms: 'all' }, 'o'), undefined);
  assert.equal(chooseUnpack(host, { unpack: 'none' }, 'o'), undefined);
  const unpack = [{ platform: far, snapshotter: 'n' }, { platform: linux('amd64', 'v3') }];
  assert.equal(chooseUnpack(far, { platforms: 'all', unpack }, 'o'), 'n');
  assert.equal(chooseUnpack(linux('amd64'), { platforms: 'all', unpack }, 'o'), 'o');
  assert.equal(chooseUnpack(linux('arm64'), { platforms: 'all', unpack }, 'o'), undefined);
});

test('samePlatform() knows spellings, and asks for a version only where one is wanted', () => {
  assert.ok(samePlatform(linux('arm64', 'v8'), linux('aarch64')));
  assert.ok(!samePlatform(linux('amd64'), linux('386')));
  const windows = { os: 'windows', architecture: 'amd64' };
  const dated = { ...windows, 'os.version': '10.0.17763' };
  assert.ok(samePlatform(windows, dated));
  assert.ok(!samePlatform(dated, windows));
});
