import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate } from './locks.ts';

const never = new AbortController().signal;
const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('many pass at once, and one alone waits for them and lets nobody in', async () => {
  const gate = new Gate();
  const seen: string[] = [];
  const one = await gate.pass(never);
  const two = await gate.pass(never);
  const alone = gate.passAlone(never).then((held) => {
    seen.push('alone');
    return held;
  });
  const late = gate.pass(never).then((held) => {
    seen.push('late');
    return held;
  });
  one[Symbol.dispose]();
  await soon();
  assert.deepEqual(seen, []);
  two[Symbol.dispose]();
  const held = await alone;
  await soon();
  assert.deepEqual(seen, ['alone']);
  held[Symbol.dispose]();
  (await late)[Symbol.dispose]();
  assert.deepEqual(seen, ['alone', 'late']);
});

test('one who gives up waiting holds nobody up, and opens the gate to nobody', async () => {
  const gate = new Gate();
  const one = await gate.pass(never);
  const reason = new Error('tired');
  const quitter = new AbortController();
  const given = gate.passAlone(quitter.signal);
  quitter.abort(reason);
  await assert.rejects(given, reason);
  let alone = false;
  const other = gate.passAlone(never).then((held) => {
    alone = true;
    return held;
  });
  await soon();
  assert.equal(alone, false);
  one[Symbol.dispose]();
  (await other)[Symbol.dispose]();
  (await gate.pass(never))[Symbol.dispose]();
});
