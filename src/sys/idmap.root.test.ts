import assert from 'node:assert/strict';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { takeIdMaps } from './idmap.ts';
import { mountAt, unmountAll } from './mount.ts';

const maps = ['uidmap=0:1000:10,10:5000:100', 'gidmap=0:2000:65536'];

function room(use: (at: (name: string) => string) => void): void {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'hako-idmap-test-'));
  const at = (name: string): string => path.join(dir, name);
  for (const name of ['one', 'two', 'upper', 'work', 'target']) mkdirSync(at(name));
  writeFileSync(at('one/root'), 'by root');
  writeFileSync(at('two/other'), '');
  chownSync(at('two/other'), 12, 7);
  try {
    use(at);
  } finally {
    unmountAll(at('target'));
    rmSync(dir, { recursive: true });
  }
}

const owner = (file: string): number[] => [statSync(file).uid, statSync(file).gid];
const temporary = (): string[] => readdirSync(os.tmpdir()).filter((name) => /^hako-idmap-\w{6}$/.test(name));

test('a bind mount shows the ids of its mappings', () => {
  room((at) => {
    mountAt({ type: 'bind', source: at('two'), options: [...maps, 'rbind', 'ro'] }, at('target'));
    assert.deepEqual(owner(at('target')), [1000, 2000]);
    assert.deepEqual(owner(at('target/other')), [5002, 2007]);
    assert.deepEqual(owner(at('two/other')), [12, 7]);
    assert.throws(() => writeFileSync(at('target/new'), ''), { code: 'EROFS' });
  });
});

test('an overlay shows its lower layers so, copies them up so, and leaves nothing behind', () => {
  room((at) => {
    const before = temporary();
    chownSync(at('upper'), 1000, 2000);
    const layers = [`workdir=${at('work')}`, `upperdir=${at('upper')}`, `lowerdir=${at('two')}:${at('one')}`];
    mountAt({ type: 'overlay', source: 'overlay', options: [...maps, ...layers] }, at('target'));
    assert.deepEqual(owner(at('target')), [1000, 2000]);
    assert.deepEqual(owner(at('target/root')), [1000, 2000]);
    assert.deepEqual(owner(at('target/other')), [5002, 2007]);
    writeFileSync(at('target/root'), 'changed');
    assert.deepEqual(owner(at('upper/root')), [1000, 2000]);
    assert.equal(readFileSync(at('one/root'), 'utf8'), 'by root');
    assert.deepEqual(temporary(), before);
  });
});

test('one mapping without the other means nothing, and a wrong one is refused', () => {
  assert.deepEqual(takeIdMaps(['ro', 'uidmap=0:1:2']), { options: ['ro'] });
  room((at) => {
    const options = ['uidmap=0:1', 'gidmap=0:1:1', 'rbind'];
    assert.throws(() => mountAt({ type: 'bind', source: at('one'), options }, at('target')), {
      code: 'invalid-argument',
    });
  });
});
