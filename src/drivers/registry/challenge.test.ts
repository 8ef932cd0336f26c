import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseChallenges } from './challenge.ts';

test('parseChallenges() reads several challenges, quoted and bare values, and commas within', () => {
  const header =
    'Basic realm="a, \\"b\\"", Bearer realm="https://t/token",service=reg,scope="repository:a/b:pull,push repository:c:pull" ,error="x"';
  assert.deepEqual(parseChallenges(header), [
    { scheme: 'basic', parameters: { realm: 'a, "b"' } },
    {
      scheme: 'bearer',
      parameters: {
        realm: 'https://t/token',
        service: 'reg',
        scope: 'repository:a/b:pull,push repository:c:pull',
        error: 'x',
      },
    },
  ]);
  assert.deepEqual(parseChallenges('BASIC Realm = x'), [{ scheme: 'basic', parameters: { realm: 'x' } }]);
  assert.deepEqual(parseChallenges('Negotiate'), [{ scheme: 'negotiate', parameters: {} }]);
});

test('parseChallenges() ends with any input', () => {
  for (const header of [
    '',
    ',,,',
    '=',
    'Bearer =',
    'Bearer realm="open',
    '"',
    'Bearer realm=\u0000',
    `Bearer ${'a='.repeat(20_000)}`,
  ]) {
    parseChallenges(header);
  }
});
