import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { busyboxImage, makeImage, noBusybox, pushImage, tar } from './images.ts';
import { noRegistry, startRegistry, testUser } from './registry.ts';

test('tar() writes what GNU tar reads: long names, links, modes, owners and devices', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hako-tar-'));
  try {
    const long = `${'d'.repeat(90)}/${'é'.repeat(60)}`;
    const file = join(dir, 'a.tar');
    writeFileSync(
      file,
      tar([
        { name: 'dir/', type: 'dir', mode: 0o1777 },
        { name: long, data: 'hello', mode: 0o640, uid: 1000, gid: 50 },
        { name: 'link', type: 'symlink', link: 'x'.repeat(120) },
        { name: 'hard', type: 'hardlink', link: long },
        { name: 'null', type: 'char', major: 1, minor: 3, mode: 0o666 },
      ]),
    );
    const listed = execFileSync('tar', ['--numeric-owner', '-tvf', file], {
      encoding: 'utf8',
      env: { LC_ALL: 'C.UTF-8', TZ: 'UTC' },
    });
    assert.match(listed, /^drwxrwxrwt 0\/0 .* dir\/$/m);
    assert.match(listed, new RegExp(`^-rw-r----- 1000/50 +5 .* ${long}$`, 'm'));
    assert.match(listed, new RegExp(`link -> ${'x'.repeat(120)}$`, 'm'));
    assert.match(listed, new RegExp(`hard link to ${long}$`, 'm'));
    assert.match(listed, /^crw-rw-rw- 0\/0 +1,3 .* null$/m);
    assert.equal(execFileSync('tar', ['-xOf', file, long], { encoding: 'utf8' }), 'hello');
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('a made image goes through a real registry with TLS and a password', { skip: noRegistry() }, async () => {
  await using registry = await startRegistry({ tls: true, auth: 'basic' });
  const image = makeImage({ layers: [[{ name: 'a', data: 'b' }]] });
  const auth = `${testUser.username}:${testUser.password}`;
  await assert.rejects(pushImage(registry.url, 'a', 'b', image, { auth }), /self.signed/);
  const ca = registry.ca ?? '';
  await assert.rejects(pushImage(registry.url, 'a', 'b', image, { ca }), /status 401/);
  await pushImage(registry.url, 'a', 'b', image, { ca, auth });
});

test('the busybox image has a shell under its names', { skip: noBusybox() || noRegistry() }, async () => {
  await using registry = await startRegistry();
  const image = busyboxImage();
  await pushImage(registry.url, 'busybox', 'latest', image);
  assert.equal(image.layers.length, 1);
  const answer = await fetch(`${registry.url}/v2/busybox/manifests/latest`, {
    headers: { accept: image.target.mediaType },
  });
  assert.equal(answer.headers.get('docker-content-digest'), image.target.digest);
});
