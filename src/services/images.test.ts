import assert from 'node:assert/strict';
import { test } from 'node:test';
import { call, leased, openBridge, upload, type Bridge } from '../../test/support/bridge.ts';
import type { NewImage } from './images.ts';

const target = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: `sha256:${'a'.repeat(64)}`, size: 7 };
const image = (name: string, labels: Record<string, string> = {}): NewImage => ({ name, labels, target });
const topics = (bridge: Bridge): string[] => bridge.published.map(({ topic }) => topic);

test('an image is made once, found, listed by filter and deleted, and each step is told', async () => {
  await using bridge = await openBridge();
  const { images } = bridge;
  await images.create(call, image('docker.io/library/a:latest', { colour: 'blue' }));
  await images.create(call, image('b'));
  await assert.rejects(images.create(call, image('b')), {
    code: 'already-exists',
    message: 'image "b": already exists',
  });
  assert.equal(images.get(call, 'b').target.size, 7);
  assert.deepEqual(
    [...images.list(call, ['labels.colour==blue'])].map(({ name }) => name),
    ['docker.io/library/a:latest'],
  );
  assert.deepEqual([...images.list({ ...call, namespace: 'other' }, [])], []);
  await images.delete(call, 'b', { sync: true });
  assert.throws(() => images.get(call, 'b'), { code: 'not-found', message: 'image "b": not found' });
  await assert.rejects(images.delete(call, 'b', { sync: false }), { code: 'not-found' });
  assert.deepEqual(topics(bridge), ['/images/create', '/images/create', '/images/delete']);
  assert.deepEqual(bridge.published[0]?.payload, {
    kind: 'plain',
    type: 'ImageCreate',
    fields: { name: 'docker.io/library/a:latest', labels: { colour: 'blue' } },
  });
});

test('a field mask changes what it names, an empty value removes a label, an unknown path is refused', async () => {
  await using bridge = await openBridge();
  const { images } = bridge;
  await images.create(call, image('a', { one: '1', two: '2' }));
  const other = { ...target, digest: `sha256:${'b'.repeat(64)}` };
  const updated = await images.update(call, { name: 'a', labels: { one: '', three: '3' }, target: other }, [
    'labels.one',
    'labels.three',
  ]);
  assert.deepEqual(updated.labels, { two: '2', three: '3' });
  assert.equal(updated.target.digest, target.digest);
  assert.equal(
    (await images.update(call, { name: 'a', labels: {}, target: other }, ['target'])).target.digest,
    other.digest,
  );
  assert.deepEqual((await images.update(call, image('a'), [])).labels, {});
  await assert.rejects(images.update(call, image('a'), ['name']), {
    code: 'invalid-argument',
    message: 'cannot update "name" field on image "a": invalid argument',
  });
  await assert.rejects(images.update(call, image('ghost'), []), { message: 'image "ghost": not found' });
});

test('a build that is to come out the same each time says which dates its image has', async () => {
  await using bridge = await openBridge();
  const { images } = bridge;
  const made = await images.create(call, { ...image('a'), epoch: new Date(1000) });
  assert.deepEqual([made.createdAt.getTime(), made.updatedAt.getTime()], [1000, 1000]);
  const changed = await images.update(call, { ...image('a'), epoch: new Date(2000) }, []);
  assert.deepEqual([changed.createdAt.getTime(), changed.updatedAt.getTime()], [1000, 2000]);
});

test('an image without a sound target is refused', async () => {
  await using bridge = await openBridge();
  for (const wrong of [{ digest: 'sha256:abc' }, { size: 0 }, { mediaType: '' }]) {
    await assert.rejects(bridge.images.create(call, { ...image('a'), target: { ...target, ...wrong } }), {
      code: 'invalid-argument',
    });
  }
  await assert.rejects(bridge.images.create(call, image('')), { code: 'invalid-argument' });
});

test('deleting an image in sync removes its blobs from disk, except those that another image or namespace has', async () => {
  await using bridge = await openBridge();
  const { images, leases, store } = bridge;
  await leases.create(call, 'pull', {});
  const shared = await upload(bridge, leased('pull'), 'shared layer');
  const own = await upload(bridge, leased('pull'), 'own layer');
  const manifest = await upload(bridge, leased('pull'), 'manifest', {
    'containerd.io/gc.ref.content.l.0': shared,
    'containerd.io/gc.ref.content.l.1': own,
  });
  const second = await upload(bridge, leased('pull'), 'second', { 'containerd.io/gc.ref.content.0': shared });
  await images.create(call, { name: 'a', labels: {}, target: { ...target, digest: manifest } });
  await images.create(call, { name: 'b', labels: {}, target: { ...target, digest: second } });
  await leases.delete(call, 'pull', { sync: true });
  for (const digest of [shared, own, manifest, second]) assert.notEqual(await store.size(digest), undefined);

  await images.delete(call, 'a', { sync: true });
  assert.equal(await store.size(manifest), undefined);
  assert.equal(await store.size(own), undefined);
  assert.notEqual(await store.size(shared), undefined);
  await images.delete(call, 'b', { sync: true });
  assert.equal(await store.size(shared), undefined);
});
