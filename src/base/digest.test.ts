import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, isDigest, parseDigest } from './digest.ts';

const hex = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

test('parseDigest() takes sha256 and sha512 apart', () => {
  assert.deepEqual(parseDigest(`sha256:${hex}`), { algorithm: 'sha256', hex });
  assert.deepEqual(parseDigest(`sha512:${hex}${hex}`), { algorithm: 'sha512', hex: hex + hex });
});

test('parseDigest() refuses what is no digest, in the words of containerd', () => {
  const cases: [string, RegExp][] = [
    ['', /invalid checksum digest format/],
    [hex, /invalid checksum digest format/],
    [`:${hex}`, /invalid checksum digest format/],
    ['sha256:', /invalid checksum digest format/],
    ['sha256:../../etc/passwd', /invalid checksum digest format/],
    [`sha256:${hex.toUpperCase()}`, /invalid checksum digest format/],
    [`sha256:${hex}\n`, /invalid checksum digest format/],
    ['sha256:abcd', /invalid checksum digest length/],
    [`sha512:${hex}`, /invalid checksum digest length/],
    ['md5:d41d8cd98f00b204e9800998ecf8427e', /unsupported digest algorithm/],
    [`sha256:${'0'.repeat(100_000)}`, /invalid checksum digest format/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseDigest(text),
      (error: Error & { code?: string }) => {
        return error.code === 'invalid-argument' && message.test(error.message) && error.message.length < 300;
      },
      text.slice(0, 80),
    );
    assert.equal(isDigest(text), false);
  }
});

test('digestOf() gives the sha256 digest', () => {
  assert.equal(digestOf(''), `sha256:${hex}`);
  assert.ok(isDigest(digestOf(new Uint8Array(3))));
});
