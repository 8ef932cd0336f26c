import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quantile, summarize } from './sample.ts';

test('a quantile lies between its neighbours, whatever the order', () => {
  assert.equal(quantile([3, 1, 2], 0.5), 2);
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(quantile([10], 0.9), 10);
  assert.equal(quantile([0, 10], 0.9), 9);
  assert.throws(() => quantile([], 0.5), RangeError);
});

test('a summary has median and spread', () => {
  const times = Array.from({ length: 11 }, (_, i) => i);
  assert.deepEqual(summarize({ side: 'a', times }), { side: 'a', rounds: 11, median: 5, p10: 1, p90: 9 });
});
