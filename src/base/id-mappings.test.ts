import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIdMappings, toHost } from './id-mappings.ts';

test('ids are found outside where the mappings put them', () => {
  const mappings = parseIdMappings('0:1000:10,10:5000:100');
  assert.deepEqual(mappings[1], { container: 10, host: 5000, size: 100 });
  assert.deepEqual([toHost(mappings, 0), toHost(mappings, 9), toHost(mappings, 10)], [1000, 1009, 5000]);
  assert.throws(() => toHost(mappings, 110), { code: 'invalid-argument', message: /^container id 110/ });
});

test('what is no mapping is refused', () => {
  for (const text of ['', '0:1', '0:1:2:3', '-1:0:1', '0:4294967295:1', '0:0:1,', 'a:b:c'])
    assert.throws(() => parseIdMappings(text), { code: 'invalid-argument' }, text);
});
