import assert from 'node:assert/strict';
import { test } from 'node:test';
import { humanDuration, humanSize, progressBar } from './units.ts';

test('humanSize() counts in thousands with at most four digits', () => {
  const sizes = [0, 1, 999, 1000, 1500, 83_234_567, 1_000_000_000, 1.5e21];
  assert.deepEqual(
    sizes.map((size) => humanSize(size)),
    ['0B', '1B', '999B', '1kB', '1.5kB', '83.23MB', '1GB', '1500EB'],
  );
  assert.equal(humanSize(83_234_567, 3), '83.2MB');
});

test('humanDuration() says what Docker says at every border', () => {
  const seconds = [
    0,
    1,
    59,
    60,
    119,
    120,
    3599,
    3600,
    5399,
    5400,
    172_799 - 1800,
    172_800,
    1_209_600,
    5_184_000,
    63_072_000,
  ];
  assert.deepEqual(
    seconds.map((second) => humanDuration(second * 1000)),
    [
      'Less than a second',
      '1 second',
      '59 seconds',
      'About a minute',
      'About a minute',
      '2 minutes',
      '59 minutes',
      'About an hour',
      'About an hour',
      '2 hours',
      '47 hours',
      '2 days',
      '2 weeks',
      '2 months',
      '2 years',
    ],
  );
});

test('progressBar() never draws outside its box', () => {
  assert.equal(progressBar(0, 0), '');
  assert.equal(progressBar(512, 0), '    512B');
  assert.equal(progressBar(1_000_000, 2_000_000), `[${'='.repeat(25)}>${' '.repeat(25)}]      1MB/2MB`);
  assert.equal(progressBar(9, 3), `[${'='.repeat(50)}>]       9B/3B`);
  assert.equal(progressBar(1, 2, 80), '      1B/2B');
});
