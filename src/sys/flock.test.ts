import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { tryFlock } from './flock.ts';

test('tryFlock() gives a lock to one holder at a time', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hako-flock-'));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const path of [join(directory, 'lock'), directory]) {
    const first = tryFlock(path);
    assert.ok(first);
    assert.equal(tryFlock(path), undefined);
    first[Symbol.dispose]();
    const second = tryFlock(path);
    assert.ok(second);
    second[Symbol.dispose]();
  }
});

test('a child does not inherit the lock', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hako-flock-'));
  t.after(() => rmSync(directory, { recursive: true }));
  using lock = tryFlock(join(directory, 'lock'));
  assert.ok(lock);
  const seen = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' }).stdout;
  assert.ok(!seen.includes(directory), seen);
  assert.equal(readFileSync(join(directory, 'lock'), 'utf8'), '');
});
