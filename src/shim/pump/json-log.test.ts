import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { OffsetFile } from '#sys/splice.ts';
import { JsonLog, longestPiece, pieceEnd, record, records, timestamp } from './json-log.ts';

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

test('many lines at once become the records that they would become one by one', () => {
  const long = 'x'.repeat(longestPiece + 5);
  const cases = [
    '',
    '\n',
    'one\ntwo\nrest',
    'a "b" \\n\\\n\n\tc\u0000\n',
    `€\n${'line €uro\n'.repeat(5000)}tail`,
    `a\n${long}\nb\n`,
    `${long}\n`,
    `a\n${long}`,
    'with its own \u0080 mark\nand more\n',
    `${'x'.repeat(longestPiece - 1)}\n${'y'.repeat(longestPiece)}\nz\n`,
    `${'x'.repeat(longestPiece - 1)}\n${'y'.repeat(longestPiece - 1)}\n`,
  ].map((text) => Buffer.from(text));
  cases.push(Buffer.from([0xc3, 0x0a, 0xa9, 0xff, 0x0a, 0xe2, 0x82]));
  for (const bytes of cases) {
    let [expected, from] = ['', 0];
    for (let to = pieceEnd(bytes, 0); to !== -1; to = pieceEnd(bytes, from)) {
      expected += record(bytes.subarray(from, to), 'stdout', 'now');
      from = to;
    }
    assert.deepEqual(records(bytes, 'stdout', 'now'), { text: expected, rest: from });
  }
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
