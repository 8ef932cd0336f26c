import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frame, frameHeader, StreamDecoder, type StreamPart } from './docker-stream.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Joins neighbouring parts of one stream, so that cuts do not matter. */
function joined(parts: readonly StreamPart[]): string[] {
  const out: { stream: string; text: string }[] = [];
  for (const { stream, data } of parts) {
    const text = Buffer.from(data).toString('latin1');
    const last = out.at(-1);
    if (last?.stream === stream) last.text += text;
    else out.push({ stream, text });
  }
  return out.map(({ stream, text }) => `${stream}:${text}`);
}

test('a frame has the header that the Engine API describes', () => {
  assert.equal(Buffer.from(frame('stderr', bytes('hi'))).toString('hex'), '0200000000000002' + '6869');
  assert.equal(Buffer.from(frameHeader('stdout', 0x01020304)).toString('hex'), '0100000001020304');
});

test('a stream is taken apart the same however it was cut', () => {
  const whole = Buffer.concat([
    frame('stdout', bytes('one')),
    frame('stderr', bytes('')),
    frame('stderr', bytes('two\n')),
    frame('stdout', bytes('3')),
  ]);
  const wanted = ['stdout:one', 'stderr:two\n', 'stdout:3'];
  for (let size = 1; size <= whole.length; size += 1) {
    const decoder = new StreamDecoder();
    const parts: StreamPart[] = [];
    for (let at = 0; at < whole.length; at += size) parts.push(...decoder.decode(whole.subarray(at, at + size)));
    decoder.finish();
    assert.deepEqual(joined(parts), wanted, `pieces of ${size}`);
  }
});

test('a stream that ends inside a frame is told from one that ended well', () => {
  for (const cut of [3, 9]) {
    const decoder = new StreamDecoder();
    decoder.decode(frame('stdout', bytes('hello')).subarray(0, cut));
    assert.throws(() => decoder.finish(), { code: 'data-loss' });
  }
});

test('bytes that are no frames are refused by what they are', () => {
  assert.throws(
    () => new StreamDecoder().decode(bytes('hello, world')),
    /not multiplexed: found the frame header 68656c6c/,
  );
});

test('a frame that claims four gigabytes is handed out as it comes', () => {
  const decoder = new StreamDecoder();
  const parts = decoder.decode(Buffer.concat([frameHeader('stdout', 0xffffffff), bytes('abc')]));
  assert.deepEqual(joined(parts), ['stdout:abc']);
});
