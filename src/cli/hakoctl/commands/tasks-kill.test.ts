import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signalNumber } from './tasks-kill.ts';

test('signals are read by name, short name and number, real-time ones by their distance', () => {
  for (const word of ['SIGTERM', 'TERM', 'term', '15']) assert.equal(signalNumber(word), 15);
  assert.equal(signalNumber('RTMIN+3'), 37);
  assert.equal(signalNumber('SIGRTMAX-1'), 63);
  assert.equal(signalNumber('RTMIN'), 34);
  for (const word of ['0', 'NOSUCH', 'RTMIN+60', 'RTMAX+1', ''])
    assert.throws(() => signalNumber(word), /unknown signal/);
});
