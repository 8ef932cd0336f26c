import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slots } from './slots.ts';

const signal = new AbortController().signal;

test('no more than the count are taken at once, in the order in which they came', async () => {
  const slots = new Slots(2);
  const first = await slots.take(signal);
  const second = await slots.take(signal);
  const order: string[] = [];
  const third = slots.take(signal).then((slot) => (order.push('third'), slot));
  const fourth = slots.take(signal).then((slot) => (order.push('fourth'), slot));
  await Promise.resolve();
  assert.deepEqual(order, []);
  second[Symbol.dispose]();
  // Giving back twice frees one place only.
  second[Symbol.dispose]();
  await third;
  assert.deepEqual(order, ['third']);
  first[Symbol.dispose]();
  await fourth;
  assert.deepEqual(order, ['third', 'fourth']);
});

test('one who leaves the queue takes no place', async () => {
  const slots = new Slots(1);
  const held = await slots.take(signal);
  const leaving = new AbortController();
  const gone = slots.take(leaving.signal);
  const next = slots.take(signal);
  leaving.abort(new Error('left'));
  await assert.rejects(gone, /left/);
  held[Symbol.dispose]();
  await next;
});
