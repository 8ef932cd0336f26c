import assert from 'node:assert/strict';
import { test } from 'node:test';
import { familiar, formatReference, isTag, normalizeReference, parseReference } from './reference.ts';

const digest = `sha256:${'ab'.repeat(32)}`;

test('parseReference() adds the defaults of Docker Hub and no tag', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['alpine', 'docker.io/library/alpine'],
    ['alpine:3.20', 'docker.io/library/alpine:3.20'],
    ['library/alpine', 'docker.io/library/alpine'],
    ['docker.io/alpine', 'docker.io/library/alpine'],
    ['index.docker.io/alpine:a', 'docker.io/library/alpine:a'],
    ['bitnami/redis', 'docker.io/bitnami/redis'],
    ['localhost/web', 'localhost/web'],
    ['localhost:5000/web', 'localhost:5000/web'],
    ['127.0.0.1:5000/a/b/c:1.0', '127.0.0.1:5000/a/b/c:1.0'],
    ['[::1]:5000/web:1', '[::1]:5000/web:1'],
    ['[fd00::1]/web', '[fd00::1]/web'],
    ['ghcr.io/o/r:x@' + digest, 'ghcr.io/o/r:x@' + digest],
    ['REGISTRY/web', 'REGISTRY/web'],
    ['foo__bar', 'docker.io/library/foo__bar'],
    ['foo---bar', 'docker.io/library/foo---bar'],
    ['foo/bar.baz_x', 'docker.io/foo/bar.baz_x'],
    [`a@${digest}`, `docker.io/library/a@${digest}`],
  ];
  for (const [input, whole] of cases) assert.equal(formatReference(parseReference(input)), whole, input);
});

test('parseReference() refuses what the grammar does not have, in words that Docker uses', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /invalid reference format/],
    ['Alpine', /^invalid reference format: repository name \(library\/Alpine\) must be lowercase: "Alpine"$/],
    ['localhost/Web', /repository name \(Web\) must be lowercase/],
    ['a b', /^invalid reference format: "a b"$/],
    ['a:', /invalid reference format/],
    [':tag', /invalid reference format/],
    ['a:-x', /invalid reference format/],
    [`a:${'t'.repeat(129)}`, /invalid reference format/],
    ['a//b', /invalid reference format/],
    ['-a', /invalid reference format/],
    ['a..b', /invalid reference format/],
    ['a___b', /invalid reference format/],
    ['https://localhost/a', /invalid reference format/],
    ['../etc/passwd', /invalid reference format/],
    ['a@sha256:abc', /invalid reference format/],
    [`a@md5:${'ab'.repeat(16)}`, /unsupported digest algorithm "md5"/],
    [`a@sha256:${'ab'.repeat(31)}`, /64 lower case hexadecimal digits/],
    [`a@sha256:${'AB'.repeat(32)}`, /64 lower case hexadecimal digits/],
    ['ab'.repeat(32), /64-byte hexadecimal/],
    ['a'.repeat(256), /not be more than 255/],
    ['a/'.repeat(5000), /longer than 1024/],
  ];
  for (const [input, message] of cases) {
    assert.throws(() => parseReference(input), { code: 'invalid-argument', message }, input);
  }
});

test('a path of 255 characters and a tag of 128 are the largest allowed', () => {
  const path = 'a'.repeat(255 - 'library/'.length);
  assert.equal(parseReference(`${path}:${'t'.repeat(128)}`).path, `library/${path}`);
});

test('normalizeReference() adds latest only where neither tag nor digest is given', () => {
  assert.equal(formatReference(normalizeReference('alpine')), 'docker.io/library/alpine:latest');
  assert.equal(formatReference(normalizeReference('alpine:3')), 'docker.io/library/alpine:3');
  assert.equal(formatReference(normalizeReference(`alpine@${digest}`)), `docker.io/library/alpine@${digest}`);
});

test('familiar() leaves away what Docker leaves away', () => {
  assert.equal(familiar('docker.io/library/alpine:3'), 'alpine:3');
  assert.equal(familiar('docker.io/bitnami/redis'), 'bitnami/redis');
  assert.equal(familiar('docker.io/library/a/b'), 'library/a/b');
  assert.equal(familiar('ghcr.io/library/x'), 'ghcr.io/library/x');
  assert.equal(familiar(`docker.io/library/alpine@${digest}`), `alpine@${digest}`);
});

test('isTag() knows a tag', () => {
  assert.ok(isTag('v1.0_x-2') && isTag('_') && !isTag('.x') && !isTag('') && !isTag('a/b'));
});
