import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, nearest } from './nearest.ts';

test('editDistance() counts insertions, deletions, changes and swaps', () => {
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(editDistance('root', 'root'), 0);
  assert.equal(editDistance('root', 'rot'), 1);
  assert.equal(editDistance('root', 'roof'), 1);
  assert.equal(editDistance('adress', 'address'), 1);
  assert.equal(editDistance('satte', 'state'), 1);
});

test('nearest() finds the word that was meant, and none where nothing is near', () => {
  const keys = ['address', 'uid', 'gid', 'max_recv_message_size'];
  assert.equal(nearest('adress', keys), 'address');
  assert.equal(nearest('Max_Recv_Size', keys), undefined);
  assert.equal(nearest('max_recv_msg_size', keys), 'max_recv_message_size');
  assert.equal(nearest('colour', keys), undefined);
});

test('nearest() does not take a short word for another one with nothing in common', () => {
  assert.equal(nearest('xy', ['ab']), undefined);
});
