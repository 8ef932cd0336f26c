import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '#base/digest.ts';
import { call, openBridge, upload } from '../../test/support/bridge.ts';

const other = { ...call, namespace: 'other' };

test('what was committed can be read, listed and labelled, in its namespace alone', async () => {
  await using bridge = await openBridge();
  const { content } = bridge;
  const digest = await upload(bridge, call, 'hello', { colour: 'blue' });
  assert.equal(digest, digestOf('hello'));
  assert.equal(Buffer.from(await content.readAll(call, digest)).toString(), 'hello');
  assert.throws(() => content.info(other, digest), {
    code: 'not-found',
    message: `content digest ${digest}: not found`,
  });
  await assert.rejects(content.open(other, digest), { code: 'not-found' });
  await content.update(call, { digest, labels: { 'a.b': 'c' } }, ['labels.a.b']);
  assert.deepEqual(content.info(call, digest).labels, { colour: 'blue', 'a.b': 'c' });
  assert.equal([...content.list(call, ['labels."a.b"==c'])].length, 1);
  assert.equal([...content.list(call, ['labels.colour==red'])].length, 0);
  await assert.rejects(content.readAll(call, digest, 4), { code: 'resource-exhausted' });
});

test('a second namespace gets a blob that is there without uploading it', async () => {
  await using bridge = await openBridge();
  const { content, store } = bridge;
  const expected = await upload(bridge, call, 'shared');
  await assert.rejects(content.writer(other, { ref: 'r', expected, total: 6 }), { code: 'already-exists' });
  assert.equal(content.info(other, expected).size, 6);
  await content.update(other, { digest: expected, labels: { 'containerd.io/gc.root': 'yes' } }, []);
  await content.delete(call, expected);
  await bridge.idle();
  assert.notEqual(await store.size(expected), undefined);
  await content.delete(other, expected);
  await bridge.idle();
  assert.equal(await store.size(expected), undefined);
});

test('where blobs are not shared, each namespace uploads them, unless one shares all of its own', async () => {
  await using bridge = await openBridge({ sharing: 'isolated' });
  const { content, namespaces } = bridge;
  const expected = await upload(bridge, call, 'isolated');
  {
    await using writer = await content.writer(other, { ref: 'r', expected });
    assert.equal(content.find(other, expected), undefined);
    await writer.write(Buffer.from('isolated'));
    assert.equal(await writer.commit({ digest: expected }), expected);
  }
  await namespaces.update({ name: 'default', labels: { 'containerd.io/namespace.shareable': 'true' } }, []);
  const third = { ...call, namespace: 'third' };
  await assert.rejects(content.writer(third, { ref: 'r', expected }), { code: 'already-exists' });
  assert.equal(content.info(third, expected).size, 8);
});

test('an upload whose ref comes back with another length starts over', async () => {
  await using bridge = await openBridge();
  const { content } = bridge;
  const writer = await content.writer(call, { ref: 'r', total: 5 });
  await writer.write(Buffer.from('old'));
  await writer.close();
  await using next = await content.writer(call, { ref: 'r', total: 3 });
  assert.deepEqual([next.status().offset, next.status().total], [0, 3]);
  await next.write(Buffer.from('new'));
  assert.equal(await next.commit({ size: 3 }), digestOf('new'));
});

test('an upload of the wrong size or digest is refused and can be gone on with', async () => {
  await using bridge = await openBridge();
  const { content } = bridge;
  const writer = await content.writer(call, { ref: 'r', total: 5 });
  await writer.write(Buffer.from('hel'));
  await assert.rejects(writer.commit({ size: 5 }), {
    code: 'failed-precondition',
    message: '"r" failed size validation: 3 != 5: failed precondition',
  });
  assert.equal((await content.status(call, 'r')).offset, 3);
  {
    await using next = await content.writer(call, { ref: 'r' });
    assert.deepEqual([next.status().offset, next.status().total], [3, 5]);
    await next.write(Buffer.from('lo'));
    await assert.rejects(next.commit({ digest: digestOf('other') }), { code: 'failed-precondition' });
  }
  await using last = await content.writer(call, { ref: 'r' });
  assert.equal(await last.commit({ digest: digestOf('hello'), size: 5 }), digestOf('hello'));
  await assert.rejects(content.status(call, 'r'), { message: 'reference r: not found' });
});

test('a ref has one writer at a time, and refs of two namespaces are two', async () => {
  await using bridge = await openBridge();
  const { content } = bridge;
  await using first = await content.writer(call, { ref: 'r' });
  await assert.rejects(content.writer(call, { ref: 'r' }), { code: 'unavailable', message: /ref r locked/ });
  await using second = await content.writer(other, { ref: 'r' });
  await first.write(Buffer.from('one'));
  assert.equal(second.status().offset, 0);
  await first.close();
  await using again = await content.writer(call, { ref: 'r' });
  assert.equal(again.status().offset, 3);
});

test('a download that is under way in another namespace is waited for, as long as its bytes come', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  await using bridge = await openBridge();
  const { content } = bridge;
  const expected = digestOf('x');
  const download = { ref: `layer-${expected}`, expected, total: 1 };
  const first = await content.writer(call, download);
  const taken = {
    code: 'unavailable',
    message: `ref ${download.ref} locked by another writer (of the same content): unavailable`,
  };
  await assert.rejects(content.writer(other, download), taken);
  // Any other name is the client's own affair, and another digest another matter.
  await (await content.writer(other, { ...download, ref: 'mine' })).close();
  await (await content.writer(other, { ...download, expected: digestOf('y') })).close();
  t.mock.timers.tick(9_000);
  await first.write(Buffer.from('x'));
  t.mock.timers.tick(9_000);
  await assert.rejects(content.writer(other, download), taken);
  t.mock.timers.tick(2_000);
  await (await content.writer(other, download)).close();
  await first.commit({});
  await assert.rejects(content.writer(other, download), { code: 'already-exists' });
});

test('two who upload the same blob both succeed, the second with already-exists', async () => {
  await using bridge = await openBridge();
  const { content } = bridge;
  await using first = await content.writer(call, { ref: 'one' });
  await using second = await content.writer(call, { ref: 'two' });
  for (const writer of [first, second]) await writer.write(Buffer.from('same'));
  const results = await Promise.allSettled([first.commit({}), second.commit({})]);
  assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  assert.deepEqual(await content.statuses(call, []), []);
  assert.equal([...content.list(call, [])].length, 1);
});

test('an aborted upload is gone, under an open writer too', async () => {
  await using bridge = await openBridge();
  const { content, store } = bridge;
  const writer = await content.writer(call, { ref: 'r' });
  await writer.write(Buffer.from('x'));
  assert.equal((await content.statuses(call, ['ref==r'])).length, 1);
  await content.abort(call, 'r');
  await assert.rejects(writer.write(Buffer.from('y')), { code: 'failed-precondition' });
  assert.deepEqual(await Array.fromAsync(store.ingests(call.signal)), []);
  await assert.rejects(content.abort(call, 'r'), { code: 'not-found' });
});

test('a blob that is uploaded again while its deletion is under way stays', async () => {
  await using bridge = await openBridge();
  const { content, store } = bridge;
  const digest = await upload(bridge, call, 'again');
  await content.delete(call, digest);
  assert.equal(await upload(bridge, call, 'again'), digest);
  await bridge.idle();
  assert.notEqual(await store.size(digest), undefined);
});

test('what a kill has left on disk is removed at the next start, and its ids are not used again', async () => {
  await using bridge = await openBridge();
  const { store } = bridge;
  const kept = await upload(bridge, call, 'kept', { 'containerd.io/gc.root': 'yes' });
  const stray = await store.writer('77' as never, call.signal);
  await stray.write(Buffer.from('stray'), call.signal);
  const digest = await stray.commit({}, call.signal);
  await (await store.writer('78' as never, call.signal)).close();
  await using next = await bridge.restart();
  await next.gc.boot(call.signal);
  assert.equal(await next.store.size(digest), undefined);
  assert.notEqual(await next.store.size(kept), undefined);
  assert.deepEqual(await Array.fromAsync(next.store.ingests(call.signal)), []);
  await using writer = await next.content.writer(call, { ref: 'r' });
  await writer.write(Buffer.from('x'));
  assert.deepEqual(await Array.fromAsync(next.store.ingests(call.signal)), ['79']);
});
