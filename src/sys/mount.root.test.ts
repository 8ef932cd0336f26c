import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { mountAll, mountAt, unmountAll } from './mount.ts';

function scratch(t: { after(undo: () => void): void }): string {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'hako-mount-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

const mountsBelow = (directory: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(` ${directory}`));

test('a read-only bind mount refuses writes', (t) => {
  const directory = scratch(t);
  for (const name of ['from', 'to']) mkdirSync(path.join(directory, name));
  const to = path.join(directory, 'to');
  mountAt({ type: 'bind', source: path.join(directory, 'from'), options: ['rbind', 'ro'] }, to);
  t.after(() => unmountAll(to));
  assert.throws(() => writeFileSync(path.join(to, 'x'), ''), { code: 'EROFS' });
  unmountAll(to);
  assert.deepEqual(mountsBelow(directory), []);
});

test('an overlay of so many layers that their paths outgrow a page is mounted', (t) => {
  const directory = scratch(t);
  const layers = Array.from({ length: 120 }, (_, i) =>
    path.join(directory, 'a-rather-long-name-for-a-directory', String(i), 'fs'),
  );
  for (const layer of layers) mkdirSync(layer, { recursive: true });
  writeFileSync(path.join(layers.at(-1)!, 'deepest'), 'here');
  const target = path.join(directory, 'merged');
  mkdirSync(target);
  const before = process.cwd();
  mountAt({ type: 'overlay', source: 'overlay', options: [`lowerdir=${layers.join(':')}`, 'index=off'] }, target);
  t.after(() => unmountAll(target));
  assert.equal(readFileSync(path.join(target, 'deepest'), 'utf8'), 'here');
  assert.equal(process.cwd(), before);
  unmountAll(target);
});

test('mountAll() undoes the first mount when the second fails', (t) => {
  const directory = scratch(t);
  const tmpfs = { type: 'tmpfs', source: 'tmpfs', options: [] };
  assert.throws(() => mountAll([tmpfs, { type: 'nonsense', source: 'x', options: [] }], directory), /mount .*ENODEV/);
  assert.deepEqual(mountsBelow(directory), []);
});

test('a link in a mount target does not lead out of the root', (t) => {
  const directory = scratch(t);
  const root = path.join(directory, 'root');
  mkdirSync(path.join(root, 'etc'), { recursive: true });
  mkdirSync(path.join(directory, 'etc'));
  symlinkSync('../etc', path.join(root, 'link'));
  mountAll([{ type: 'tmpfs', source: 'inside', target: 'link', options: [] }], root);
  t.after(() => unmountAll(path.join(root, 'etc')));
  assert.equal(mountsBelow(path.join(root, 'etc')).length, 1);
  assert.equal(mountsBelow(path.join(directory, 'etc')).length, 0);
  unmountAll(path.join(root, 'etc'));
});
