import assert from 'node:assert/strict';
import { mkdtempDisposableSync, mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { joinCgroup } from './cgroup.ts';

test('on a host with controllers apart, the daemon enters every tree, and a cpuset inherits what it needs', () => {
  using directory = mkdtempDisposableSync(path.join(tmpdir(), 'hako-cgroup-'));
  const root = directory.path;
  for (const name of ['memory', 'cpuset', 'unified']) mkdirSync(path.join(root, name));
  writeFileSync(path.join(root, 'cpuset/cpuset.cpus'), '0-3\n');
  writeFileSync(path.join(root, 'cpuset/cpuset.mems'), '0\n');

  joinCgroup('/system/hako', root);

  const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
  assert.equal(read('memory/system/hako/cgroup.procs'), `${process.pid}\n`);
  assert.equal(read('cpuset/system/hako/cgroup.procs'), `${process.pid}\n`);
  assert.equal(read('cpuset/system/cpuset.cpus'), '0-3');
  assert.equal(read('cpuset/system/hako/cpuset.mems'), '0');
  assert.equal(existsSync(path.join(root, 'unified/system')), false);
});

test('on a unified host there is one tree', () => {
  using directory = mkdtempDisposableSync(path.join(tmpdir(), 'hako-cgroup-'));
  const root = directory.path;
  writeFileSync(path.join(root, 'cgroup.controllers'), 'cpu memory\n');
  mkdirSync(path.join(root, 'init.scope'));
  joinCgroup('hako', root);
  assert.equal(readFileSync(path.join(root, 'hako/cgroup.procs'), 'utf8'), `${process.pid}\n`);
  assert.equal(existsSync(path.join(root, 'init.scope/hako')), false);
});

test('a cgroup that cannot be entered is named', () => {
  const message = /^cgroup "\/hako" cannot be entered: .*leave cgroup.path empty$/;
  assert.throws(() => joinCgroup('/hako', '/nowhere'), { code: 'failed-precondition', message });
  joinCgroup('', '/nowhere');
});
