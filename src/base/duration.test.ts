import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration, parseDuration } from './duration.ts';

test('parseDuration() reads what Go reads', () => {
  assert.equal(parseDuration('5s'), 5000);
  assert.equal(parseDuration('1h2m3.5s'), 3_723_500);
  assert.equal(parseDuration('500ms'), 500);
  assert.equal(parseDuration('-1.5h'), -5_400_000);
  assert.equal(parseDuration('0'), 0);
  assert.equal(parseDuration('250us'), 0.25);
});

test('parseDuration() gives undefined for what Go refuses', () => {
  for (const wrong of ['', '5', 's', '5 s', '5s ', 'five', '1d', '1m-3s', '--1s', '1sx']) {
    assert.equal(parseDuration(wrong), undefined, wrong);
  }
});

test('formatDuration() writes what parseDuration() reads back', () => {
  for (const ms of [0, 1, 0.25, 999, 1000, 61_000, 90_500, 3_600_000, 3_723_500, -5_400_000]) {
    assert.equal(parseDuration(formatDuration(ms)), ms, formatDuration(ms));
  }
  assert.equal(formatDuration(90_500), '1m30.5s');
});
