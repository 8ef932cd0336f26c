import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { punch } from './fd.ts';
import { firstLocked, releaseRange, seekData, tryClaimRange, tryShareRange } from './range-lock.ts';

/** Two open files of one file, `size` bytes long. */
function openTwice(t: TestContext, size = 0): [number, number] {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'hako-range-'));
  const file = path.join(directory, 'file');
  writeFileSync(file, Buffer.alloc(size, 'x'));
  const fds: [number, number] = [openSync(file, 'r'), openSync(file, 'r+')];
  t.after(() => {
    for (const fd of fds) closeSync(fd);
    rmSync(directory, { recursive: true });
  });
  return fds;
}

test('what one open file shares, another cannot claim, but for what was released', (t) => {
  const [reader, writer] = openTwice(t);
  assert.equal(firstLocked(writer, 0, 1000), 1000);
  assert(tryShareRange(reader, 0, Infinity));
  assert.equal(firstLocked(writer, 0, 1000), 0);
  assert.equal(tryClaimRange(writer, 0, 1000), false);
  releaseRange(reader, 0, 600);
  assert.equal(firstLocked(writer, 0, 1000), 600);
  assert(tryClaimRange(writer, 0, 600));
  assert.equal(tryShareRange(reader, 500, Infinity), false);
  releaseRange(writer, 0, 600);
  assert(tryShareRange(reader, 500, Infinity));
});

test('offsets beyond 4 GiB are told apart, and an open file is not in its own way', (t) => {
  const [reader, writer] = openTwice(t);
  const far = 5 * 2 ** 32 + 17;
  assert(tryShareRange(reader, far, Infinity));
  assert.equal(firstLocked(writer, 3, far + 9), far);
  assert.equal(firstLocked(reader, 3, far + 9), far + 9);
});

test('of several locks the first one counts, and a closed file has none', (t) => {
  const [reader, writer] = openTwice(t);
  const others = [700, 300, 500].map((from) => {
    const fd = openSync(`/proc/self/fd/${reader}`, 'r');
    assert(tryShareRange(fd, from, Infinity));
    return fd;
  });
  assert.equal(firstLocked(writer, 0, 1000), 300);
  assert.equal(firstLocked(writer, 400, 1000), 400);
  closeSync(others[1]!);
  assert.equal(firstLocked(writer, 0, 1000), 500);
  closeSync(others[2]!);
  closeSync(others[0]!);
  assert.equal(firstLocked(writer, 0, 1000), 1000);
});

test('data is found behind what was given back', (t) => {
  const [reader, writer] = openTwice(t, 256 * 1024);
  assert.equal(seekData(reader, 5), 5);
  assert(punch(writer, 128 * 1024));
  assert.equal(seekData(reader, 5), 128 * 1024);
  assert.equal(seekData(reader, 256 * 1024), undefined);
  assert(punch(writer, 256 * 1024));
  assert.equal(seekData(reader, 0), undefined);
});
