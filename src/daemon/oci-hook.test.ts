import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fillIn, readState } from './oci-hook.ts';

const state = {
  id: 'web',
  status: 'created',
  pid: '17',
  bundle: '/b',
  rootfs: '/b/rootfs',
  annotations: { 'io.a/b': 'x y' },
};

test('what stands in braces is filled in', () => {
  assert.equal(fillIn('--pid={{pid}} {{ id }}@{{status}}', state), '--pid=17 web@created');
  assert.equal(fillIn('{{annotation "io.a/b"}}{{annotation `none`}}', state), 'x y');
  assert.equal(fillIn('a  {{- rootfs -}}  b {not} this', state), 'a/b/rootfsb {not} this');
});

test('what is not known is refused, and named', () => {
  for (const text of ['{{user}}', '{{annotation}}', '{{ id', '{{annotation "open}}']) {
    assert.throws(() => fillIn(text, state), { code: 'invalid-argument', message: /is not known: there are \{\{id}}/ });
  }
});

test('hakod oci-hook becomes the program, with arguments and environment filled in', () => {
  using directory = mkdtempDisposableSync(path.join(tmpdir(), 'hako-hook-'));
  const bundle = directory.path;
  writeFileSync(path.join(bundle, 'config.json'), JSON.stringify({ root: { path: 'tree' } }));
  const input = JSON.stringify({ ociVersion: '1.0.2', id: 'web', status: 'created', pid: 17, bundle });
  assert.equal(readState(input).rootfs, path.join(bundle, 'tree'));

  const main = new URL('main.ts', import.meta.url).pathname;
  const shell = 'echo "$0 $1 $WHERE"; exit 7';
  const args = [main, 'oci-hook', '--', '/bin/sh', '-c', shell, '{{id}}', '--root={{rootfs}}'];
  const env = { ...process.env, WHERE: '{{bundle}}' };
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { input, encoding: 'utf8', env });
  assert.equal(stderr, '');
  assert.equal(stdout, `web --root=${bundle}/tree ${bundle}\n`);
  assert.equal(status, 7);
});
