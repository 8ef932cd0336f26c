import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeRing, RingCaller, RingEmptier, RingFiller, slotSize } from './ring.ts';

const go = (): void => {};

test('what one side fills the other empties, in order, and the end comes after the last bytes', () => {
  const memory = makeRing();
  const filler = new RingFiller(memory);
  const emptier = new RingEmptier(memory);
  for (let round = 0; round < 20; round++) {
    filler.next(go)!.fill(round);
    filler.publish(round === 19 ? 5 : slotSize);
    if (round === 19) filler.end(true);
    const piece = emptier.next(go)!;
    assert.equal(piece.length, round === 19 ? 5 : slotSize);
    assert.equal(piece[0], round);
  }
  assert.equal(emptier.next(go), undefined);
});

test('a halt ends both sides, where they are', () => {
  const memory = makeRing();
  new RingCaller(memory).halt();
  assert.throws(() => new RingFiller(memory).next(go), { code: 'cancelled' });
  assert.throws(() => new RingEmptier(memory).next(go), { code: 'cancelled' });
});

test('a side that waits looks around: its caller can end it', () => {
  const memory = makeRing();
  let looks = 0;
  const impatient = (): void => {
    if (++looks > 2) throw new Error('enough');
  };
  assert.throws(() => new RingEmptier(memory).next(impatient), /enough/);
});

test('a failed filler fails the emptier, and a refusing emptier stops the filler', () => {
  const failed = makeRing();
  new RingFiller(failed).end(false);
  assert.throws(() => new RingEmptier(failed).next(go), { code: 'aborted' });

  const refused = makeRing();
  new RingEmptier(refused).refuse(true);
  assert.equal(new RingFiller(refused).next(go), undefined);
  const halted = makeRing();
  new RingEmptier(halted).refuse(false);
  assert.throws(() => new RingFiller(halted).next(go), { code: 'cancelled' });
});

test('the caller sees how far the filler is', () => {
  const memory = makeRing();
  new RingFiller(memory).moveTo(2 ** 40);
  assert.equal(new RingCaller(memory).position, 2 ** 40);
});
