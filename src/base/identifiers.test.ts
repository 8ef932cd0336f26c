import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkIdentifier, checkLabels } from './identifiers.ts';

test('an identifier is alphanumeric words with single separators', () => {
  for (const good of ['a', 'k8s.io', 'Web-1_2.x', '0'.repeat(76)]) checkIdentifier(good);
  for (const bad of ['', '-a', 'a-', 'a--b', 'a/b', '..', 'a b', 'ä', 'a\n', '0'.repeat(77)]) {
    assert.throws(() => checkIdentifier(bad), { code: 'invalid-argument' }, bad);
  }
});

test('the message says which rule was broken, in the words of containerd', () => {
  assert.throws(() => checkIdentifier('a b', 'container.ID'), {
    message: 'container.ID: identifier "a b" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$: invalid argument',
  });
});

test('a label may have 4096 bytes with its key and not one more', () => {
  checkLabels({ key: 'v'.repeat(4093) }, 'image.Labels');
  assert.throws(() => checkLabels({ key: 'v'.repeat(4094) }, 'image.Labels'), { code: 'invalid-argument' });
  assert.throws(() => checkLabels({ key: 'ä'.repeat(2047) }, 'image.Labels'), /4097 bytes/);
});
