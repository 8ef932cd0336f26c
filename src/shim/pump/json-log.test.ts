import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { OffsetFile } from '#sys/splice.ts';
import { JsonLog, longestPiece, pieceEnd, record, timestamp } from './json-log.ts';

function files(t: { after(undo: () => void): void }): { log: string; offsets: string } {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'hako-log-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return { log: path.join(directory, 'log.json'), offsets: path.join(directory, 'offsets') };
}

test('a piece ends after its newline', () => {
  const bytes = Buffer.from('one\ntwo\nrest');
  assert.equal(pieceEnd(bytes, 0), 4);
  assert.equal(pieceEnd(bytes, 4), 8);
  assert.equal(pieceEnd(bytes, 8), -1);
});

test('a long piece ends after 16 KiB, or before the character that would be cut', () => {
  assert.equal(pieceEnd(Buffer.alloc(longestPiece + 1, 'x'), 0), longestPiece);
  const bytes = Buffer.concat([Buffer.alloc(longestPiece - 1, 'x'), Buffer.from('€\n')]);
  assert.equal(pieceEnd(bytes, 0), longestPiece - 1);
});

test('bytes that are no text are cut all the same', () => {
  assert.ok(pieceEnd(Buffer.alloc(longestPiece + 10, 0x80), 0) > longestPiece - 5);
});

test('a record is what Docker writes', () => {
  assert.equal(
    record(Buffer.from('a "b"\n'), 'stderr', '2026-01-02T03:04:05.000001Z'),
    '{"log":"a \\"b\\"\\n","stream":"stderr","time":"2026-01-02T03:04:05.000001Z"}\n',
  );
  assert.match(timestamp(), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
});

test('what was not committed is cut off at the next start, and the offsets agree with the rest', (t) => {
  const { log, offsets } = files(t);
  const first = new OffsetFile(offsets);
  const before = new JsonLog(log, first);
  before.append('one\n', 0, 10);
  before.append('two\n', 1, 20);
  appendFileSync(log, 'torn');
  before.close();
  first.close();
  const second = new OffsetFile(offsets);
  const after = new JsonLog(log, second);
  assert.deepEqual(after.covered, [10, 20]);
  after.append('three\n', 0, 30);
  after.close();
  second.close();
  assert.equal(readFileSync(log, 'utf8'), 'one\ntwo\nthree\n');
});

test('a new run goes on after the records of the last one', (t) => {
  const { log, offsets } = files(t);
  appendFileSync(log, 'earlier run\n');
  const file = new OffsetFile(offsets);
  const fresh = new JsonLog(log, file);
  assert.deepEqual(fresh.covered, [0, 0]);
  fresh.append('new\n', 0, 4);
  fresh.close();
  file.close();
  assert.equal(readFileSync(log, 'utf8'), 'earlier run\nnew\n');
});
