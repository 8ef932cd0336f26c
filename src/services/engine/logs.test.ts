import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordsOf } from './logs.ts';

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

const line = (log: string, stream = 'stdout'): string =>
  `${JSON.stringify({ log, stream, time: '2026-01-01T00:00:00.5Z' })}\n`;

async function read(...texts: string[]): Promise<[text: string, stream: string, end: number][]> {
  const found: [string, string, number][] = [];
  for await (const { record, end } of recordsOf(chunks(...texts)))
    found.push([Buffer.from(record.data).toString(), record.stream, end]);
  return found;
}

test('records are read however the file was cut', async () => {
  const whole = line('one\n') + line('zwei ü\n', 'stderr');
  const bytes = Buffer.from(whole);
  const expected = [
    ['one\n', 'stdout', Buffer.byteLength(line('one\n'))],
    ['zwei ü\n', 'stderr', bytes.length],
  ];
  assert.deepEqual(await read(whole), expected);
  for (let at = 1; at < bytes.length; at += 7) {
    const found = [];
    for await (const { record, end } of recordsOf(
      (async function* () {
        yield bytes.subarray(0, at);
        yield bytes.subarray(at);
      })(),
    ))
      found.push([Buffer.from(record.data).toString(), record.stream, end]);
    assert.deepEqual(found, expected);
  }
});

test('a line that is no record is passed over, and a torn last one waits', async () => {
  const found = await read('{"log":"torn', '\n', line('whole\n'), '{"log":"not ended yet');
  assert.deepEqual(
    found.map(([text]) => text),
    ['whole\n'],
  );
});
