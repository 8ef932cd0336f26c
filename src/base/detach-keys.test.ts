import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultDetachKeys, DetachWatch, parseDetachKeys } from './detach-keys.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Types `pieces` one after the other; gives what reached the container, and after which piece it detached. */
function type(keys: string, pieces: readonly string[]): { seen: string; detachedAt: number } {
  const watch = new DetachWatch(parseDetachKeys(keys));
  let seen = '';
  for (const [index, piece] of pieces.entries()) {
    const { pass, detached } = watch.push(bytes(piece));
    seen += new TextDecoder().decode(pass);
    if (detached) return { seen, detachedAt: index };
  }
  return { seen, detachedAt: -1 };
}

test('the default keys detach in one piece and in two', () => {
  assert.deepEqual(type(defaultDetachKeys, ['ls\r', '\x10\x11']), { seen: 'ls\r', detachedAt: 1 });
  assert.deepEqual(type(defaultDetachKeys, ['ls\r', '\x10', '\x11']), { seen: 'ls\r', detachedAt: 2 });
});

test('a beginning that does not go on reaches the container whole', () => {
  assert.deepEqual(type(defaultDetachKeys, ['\x10', 'x']), { seen: '\x10x', detachedAt: -1 });
});

test('a sequence is found behind a false start of itself', () => {
  assert.deepEqual(type(defaultDetachKeys, ['\x10', '\x10', '\x11']), { seen: '\x10', detachedAt: 2 });
  assert.deepEqual(type('a,a,b', ['aaab']), { seen: 'a', detachedAt: 0 });
});

test('bytes that are not ASCII pass through', () => {
  assert.deepEqual(type(defaultDetachKeys, ['日本']), { seen: '日本', detachedAt: -1 });
});

test('key names are those of Docker', () => {
  assert.deepEqual([...parseDetachKeys('ctrl-@,ctrl-a,ctrl-[,ctrl-_,x,DEL')], [0, 1, 27, 31, 120, 127]);
  assert.throws(() => parseDetachKeys('ctrl-1'), { code: 'invalid-argument' });
  assert.throws(() => parseDetachKeys('a,,b'), { code: 'invalid-argument' });
  assert.throws(() => parseDetachKeys('é'), { code: 'invalid-argument' });
});
