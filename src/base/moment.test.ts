import assert from 'node:assert/strict';
import { test } from 'node:test';
import { microsecondsOf, Moment, now } from './moment.ts';

test('a moment keeps its microseconds and is a date', () => {
  const moment = new Moment(1_763_724_858_671_751);
  assert.equal(moment.toISOString(), '2025-11-21T11:34:18.671Z');
  assert.equal(moment.micros, 751);
  assert.equal(microsecondsOf(moment), 1_763_724_858_671_751);
  assert.equal(microsecondsOf(new Date(5)), 5000);
});

test('before 1970, too, microseconds count forward', () => {
  const moment = new Moment(-1);
  assert.equal(moment.getTime(), -1);
  assert.equal(moment.micros, 999);
});

test('now lies in the millisecond of the clock on the wall', () => {
  for (let round = 0; round < 1000; round++) {
    const before = Date.now();
    const moment = now();
    assert.ok(moment.getTime() >= before && moment.getTime() <= Date.now());
  }
});

test('now tells moments apart that lie within one millisecond', () => {
  const moments = new Set(Array.from({ length: 1000 }, () => microsecondsOf(now())));
  assert.ok(moments.size > 10);
});
