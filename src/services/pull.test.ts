import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Call } from '#base/call.ts';
import { call } from '../../test/support/bridge.ts';
import { serve, type TestServer } from '../../test/support/http-server.ts';
import { hostPlatform, makeImage, makeIndex, pushImage, type MadeImage } from '../../test/support/images.ts';
import { openHarbour, type Harbour } from '../../test/support/pulls.ts';
import { noRegistry, startRegistry } from '../../test/support/registry.ts';
import { chainIds } from './pull-manifest.ts';
import type { PullProgress } from './pull.ts';

const noise = (size: number, seed: string): Buffer => {
  const parts: Buffer[] = [];
  for (let at = 0; at * 32 < size; at++) parts.push(createHash('sha256').update(`${seed} ${at}`).digest());
  return Buffer.concat(parts).subarray(0, size);
};
const image = makeImage({
  layers: [
    [{ name: 'a', data: noise(300_000, 'a') }],
    [{ name: 'b', data: noise(400_000, 'b') }],
    [{ name: 'c', data: noise(1000, 'c') }],
  ],
});
const diffIds = (made: MadeImage): string[] =>
  (JSON.parse((made.blobs.get(made.config.digest) ?? '').toString()) as { rootfs: { diff_ids: string[] } }).rootfs
    .diff_ids;
const quiet = (): void => {};

/** A registry of our own that holds one image, and lets a test spoil what it answers. */
function serveImage(
  made: MadeImage,
  spoil: (
    digest: string,
    range: string | undefined,
    send: (status: number, body: Buffer, cut?: number) => void,
  ) => boolean,
): Promise<TestServer> {
  return serve((request, response) => {
    const name = request.url?.split('/').at(-1) ?? '';
    const isManifest = request.url?.includes('/manifests/') === true;
    const body = isManifest ? made.manifest : made.blobs.get(name);
    const headers = {
      'docker-content-digest': isManifest ? made.target.digest : name,
      'content-type': isManifest ? made.target.mediaType : 'application/octet-stream',
    };
    if (body === undefined) return void response.writeHead(404).end();
    const send = (status: number, bytes: Buffer, cut?: number): void => {
      const range =
        status === 206
          ? { 'content-range': `bytes ${body.length - bytes.length}-${body.length - 1}/${body.length}` }
          : {};
      response.writeHead(status, { ...headers, ...range, 'content-length': bytes.length });
      if (cut === undefined) response.end(request.method === 'HEAD' ? undefined : bytes);
      else response.write(bytes.subarray(0, cut), () => response.destroy());
    };
    if (!isManifest && spoil(name, request.headers.range, send)) return;
    send(200, body);
  });
}

function nothingLeft({ bridge }: Harbour, on: Call = call): void {
  assert.deepEqual([...bridge.images.list(on, [])], []);
  assert.deepEqual([...bridge.content.list(on, [])], []);
  assert.deepEqual([...bridge.snapshots.list(on, '', [])], []);
  assert.deepEqual([...bridge.leases.list(on, [])], []);
}

test('a pulled image has the names, labels and order that containerd gives', { skip: noRegistry() }, async () => {
  await using server = await startRegistry();
  await using harbour = await openHarbour();
  const { bridge, pulls } = harbour;
  const { content, snapshots } = bridge;
  const other = makeImage({ layers: [[{ name: 'x', data: 'x' }]], platform: { os: 'plan9', architecture: 'mips' } });
  const index = makeIndex([other, image]);
  await pushImage(server.url, 'sea/ark', '1', index);
  const name = `${server.host}/sea/ark:1`;
  const events: PullProgress[] = [];
  const pulled = await pulls.pull(call, name, {}, (event) => events.push(event));

  assert.deepEqual(pulled.target, index.target);
  assert.deepEqual(bridge.images.get(call, name), pulled);
  // Of the name without the port, as containerd has it.
  const source = { 'containerd.io/distribution.source.127.0.0.1': 'sea/ark' };
  assert.deepEqual(content.info(call, index.target.digest).labels, {
    ...source,
    'containerd.io/gc.ref.content.m.0': other.target.digest,
    'containerd.io/gc.ref.content.m.1': image.target.digest,
  });
  assert.deepEqual(content.info(call, image.target.digest).labels, {
    ...source,
    'containerd.io/gc.ref.content.config': image.config.digest,
    'containerd.io/gc.ref.content.l.0': image.layers[0]?.digest,
    'containerd.io/gc.ref.content.l.1': image.layers[1]?.digest,
    'containerd.io/gc.ref.content.l.2': image.layers[2]?.digest,
  });
  const ids = diffIds(image);
  const chain = chainIds(ids);
  assert.deepEqual(content.info(call, image.config.digest).labels, {
    ...source,
    'containerd.io/gc.ref.snapshot.overlayfs': chain[2],
  });
  for (const [at, layer] of image.layers.entries()) {
    assert.deepEqual(content.info(call, layer.digest).labels, { ...source, 'containerd.io/uncompressed': ids[at] });
    const { kind, parent, labels } = snapshots.stat(call, '', chain[at] ?? '');
    assert.deepEqual(
      { kind, parent, labels },
      { kind: 'committed', parent: chain[at - 1] ?? '', labels: { 'containerd.io/snapshot.ref': chain[at] } },
    );
  }
  assert.equal(content.find(call, other.target.digest), undefined);
  assert.deepEqual([...bridge.leases.list(call, [])], []);
  assert.equal(harbour.syncs(), 1);

  assert.deepEqual(events[0], { kind: 'resolved', target: index.target });
  assert.equal(events.at(-1)?.kind, 'timing');
  for (const { digest, size } of image.layers) {
    const steps = events.flatMap((event) => (event.kind === 'layer' && event.digest === digest ? [event] : []));
    assert.deepEqual(
      [...new Set(steps.map(({ stage }) => stage))],
      ['waiting', 'downloading', 'downloaded', 'extracting', 'done'],
    );
    assert.deepEqual(steps.at(-1), { kind: 'layer', digest, stage: 'done', bytes: size, total: size });
  }
  await bridge.gc.run(call.signal);
  assert.equal([...snapshots.list(call, '', [])].length, 3);
  await bridge.images.delete(call, name, { sync: true });
  nothingLeft(harbour);
});

test('a second pull fetches and unpacks nothing', { skip: noRegistry() }, async () => {
  await using server = await startRegistry();
  await using harbour = await openHarbour();
  await pushImage(server.url, 'ark', '1', image);
  const name = `${server.host}/ark:1`;
  await harbour.pulls.pull(call, name, {}, quiet);
  const asked = server.log().match(/GET \/v2\/ark\/blobs/g)?.length;
  const stages: string[] = [];
  await harbour.pulls.pull(call, name, {}, (event) => event.kind === 'layer' && stages.push(event.stage));
  assert.equal(server.log().match(/GET \/v2\/ark\/blobs/g)?.length, asked);
  assert.deepEqual(new Set(stages), new Set(['waiting', 'exists']));
  assert.equal(harbour.differ.applied.length, 3);
});

test('many who want the same layers at once fetch and unpack them once, also from another namespace', async () => {
  await using server = await serveImage(image, () => false);
  await using harbour = await openHarbour();
  const away: Call = { ...call, namespace: 'away' };
  const names = ['a', 'b', 'c', 'a'].map((one) => `${server.host}/${one}:1`);
  await Promise.all(
    names.flatMap((name) => [harbour.pulls.pull(call, name, {}, quiet), harbour.pulls.pull(away, name, {}, quiet)]),
  );
  for (const { digest } of [...image.layers, image.config]) {
    assert.equal(server.requests.filter(({ url }) => url.endsWith(digest)).length, 1, digest);
  }
  assert.equal(harbour.differ.applied.length, 6);
  assert.equal([...harbour.bridge.images.list(call, [])].length, 3);
  assert.equal([...harbour.bridge.images.list(away, [])].length, 3);
  assert.deepEqual([...harbour.bridge.leases.list(call, []), ...[...harbour.bridge.leases.list(away, [])]], []);
});

test('a layer that is in an image twice is fetched once and unpacked in both places', async () => {
  const same = [{ name: 'same', data: 'same' }];
  const twice = makeImage({ layers: [same, [{ name: 'x', data: 'x' }], same] });
  await using server = await serveImage(twice, () => false);
  await using harbour = await openHarbour();
  await harbour.pulls.pull(call, `${server.host}/twice:1`, {}, quiet);
  assert.equal([...harbour.bridge.snapshots.list(call, '', [])].length, 3);
});

test("what a layer's annotations say to the snapshotter become labels of its snapshot", async () => {
  const said = { 'containerd.io/snapshot/deck': 'lower' };
  const plain = makeImage({ layers: [[{ name: 'a', data: 'a' }]] });
  const body = JSON.parse(plain.manifest.toString()) as { layers: object[] };
  const layers = [{ ...body.layers[0], annotations: { ...said, 'containerd.io/snapshot.ref': 'x', other: 'no' } }];
  const manifest = Buffer.from(JSON.stringify({ ...body, layers }));
  const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
  const target = { ...plain.target, digest, size: manifest.length };
  await using server = await serveImage({ ...plain, manifest, target }, () => false);
  await using harbour = await openHarbour();
  await harbour.pulls.pull(call, `${server.host}/said:1`, {}, quiet);
  const [snapshot, ...others] = harbour.bridge.snapshots.list(call, '', []);
  assert.deepEqual(others, []);
  assert.deepEqual(snapshot?.labels, { ...said, 'containerd.io/snapshot.ref': snapshot?.name });
});

test('a connection that is cut is taken up again where it broke', async () => {
  const [, layer] = image.layers;
  const whole = image.blobs.get(layer?.digest ?? '') ?? Buffer.alloc(0);
  const ranges: (string | undefined)[] = [];
  await using server = await serveImage(image, (digest, range, send) => {
    if (digest !== layer?.digest) return false;
    ranges.push(range);
    const start = Number(/\d+/.exec(range ?? '0')?.[0]);
    send(start === 0 ? 200 : 206, whole.subarray(start), ranges.length < 3 ? 100_000 : undefined);
    return true;
  });
  await using harbour = await openHarbour();
  await harbour.pulls.pull(call, `${server.host}/ark:1`, {}, quiet);
  assert.equal(ranges.length, 3);
  assert.equal(ranges[0], undefined);
  assert.match(ranges[1] ?? '', /^bytes=[1-9]\d*-$/);
});

test('wrong bytes are refused by layer and registry, and nothing is left', async () => {
  const [, layer] = image.layers;
  await using server = await serveImage(image, (digest, _range, send) => {
    if (digest !== layer?.digest) return false;
    send(200, Buffer.alloc(layer.size));
    return true;
  });
  await using harbour = await openHarbour();
  await assert.rejects(harbour.pulls.pull(call, `${server.host}/ark:1`, {}, quiet), {
    code: 'failed-precondition',
    message: new RegExp(`^registry "${server.host}": the bytes it sent for "${layer?.digest}" have another digest`),
  });
  nothingLeft(harbour);
  assert.deepEqual(await harbour.bridge.content.statuses(call, []), []);
});

test('a registry that goes away in the middle ends the pull; the next one goes on from there', async () => {
  const [, layer] = image.layers;
  const whole = image.blobs.get(layer?.digest ?? '') ?? Buffer.alloc(0);
  let broken = true;
  let sent = 0;
  await using server = await serveImage(image, (digest, range, send) => {
    if (digest !== layer?.digest) return false;
    const start = Number(/\d+/.exec(range ?? '0')?.[0]);
    // It answers once, then never again to the end.
    const cut = sent === 0 ? 250_000 : 0;
    sent += broken ? cut : whole.length - start;
    send(start === 0 ? 200 : 206, whole.subarray(start), broken ? cut : undefined);
    return true;
  });
  await using harbour = await openHarbour();
  const { content, leases, snapshots, gc } = harbour.bridge;
  const name = `${server.host}/ark:1`;
  await assert.rejects(harbour.pulls.pull(call, name, {}, quiet), {
    code: 'unavailable',
    message: `layer "${layer?.digest}": registry "${server.host}": connection was cut by the other side`,
  });
  await gc.run(call.signal);
  const [left, ...others] = [...leases.list(call, [])];
  assert.deepEqual(others, []);
  assert.equal(left?.labels['hakobune.io/pull'], name);
  const expires = Date.parse(left?.labels['containerd.io/gc.expire'] ?? '') - Date.now();
  assert.ok(expires > 23 * 3600_000 && expires <= 24 * 3600_000, String(expires));
  // Others may have been on their way.
  const half = (await content.statuses(call, [])).find(({ ref }) => ref === `layer-${layer?.digest}`);
  assert.ok(half !== undefined);
  assert.ok(half.offset > 0 && half.offset <= 250_000, String(half.offset));
  // What was unpacked goes, and no name leads to the rest.
  assert.deepEqual([...snapshots.list(call, '', [])], []);
  assert.deepEqual([...harbour.bridge.images.list(call, [])], []);

  broken = false;
  const before = server.requests.length;
  await harbour.pulls.pull(call, name, {}, quiet);
  // One byte more than the rest came: none.
  assert.equal(sent, 250_000 + whole.length - half.offset);
  const again = server.requests.slice(before).filter(({ url }) => url.endsWith(`/blobs/${layer?.digest}`));
  assert.equal(again.length, 1);
  assert.deepEqual([...leases.list(call, [])], []);
  assert.deepEqual(await content.statuses(call, []), []);
  await harbour.bridge.images.delete(call, name, { sync: true });
  nothingLeft(harbour);
});

test('what an unfinished pull has left goes when the next one fails for good, and when it is given up', async () => {
  const [, layer] = image.layers;
  let answer: 'cut' | 'spoiled' = 'cut';
  await using server = await serveImage(image, (digest, _range, send) => {
    if (digest !== layer?.digest) return false;
    if (answer === 'cut') send(200, image.blobs.get(digest) ?? Buffer.alloc(0), 100_000);
    else send(200, Buffer.alloc(layer.size));
    return true;
  });
  await using harbour = await openHarbour();
  const { content, leases, gc } = harbour.bridge;
  const name = `${server.host}/ark:1`;
  await assert.rejects(harbour.pulls.pull(call, name, {}, quiet), { code: 'unavailable' });
  await assert.rejects(harbour.pulls.pull(call, name, {}, quiet), { code: 'unavailable' });
  assert.equal([...leases.list(call, [])].length, 1);
  await harbour.pulls.forget(call);
  await gc.run(call.signal);
  nothingLeft(harbour);
  await assert.rejects(harbour.pulls.pull(call, name, {}, quiet), { code: 'unavailable' });
  answer = 'spoiled';
  await assert.rejects(harbour.pulls.pull(call, name, {}, quiet), { code: 'failed-precondition' });
  nothingLeft(harbour);
  assert.deepEqual(await content.statuses(call, []), []);
});

test('an unpacking that fails names the layer and the cause, and nothing is left', async () => {
  await using server = await serveImage(image, () => false);
  await using harbour = await openHarbour();
  const [, layer] = image.layers;
  harbour.differ.gate = async ({ digest }) => {
    if (digest === layer?.digest)
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  };
  await assert.rejects(harbour.pulls.pull(call, `${server.host}/ark:1`, {}, quiet), {
    code: 'resource-exhausted',
    message: `layer "${layer?.digest}": ENOSPC: no space left on device, write`,
  });
  nothingLeft(harbour);
});

test("what a pull made is given to the caller's lease; a failed one leaves nothing there", async () => {
  const [, second] = image.layers;
  let spoiled = true;
  await using server = await serveImage(image, (digest, _range, send) => {
    if (!spoiled || digest !== second?.digest) return false;
    send(200, Buffer.alloc(second.size));
    return true;
  });
  await using harbour = await openHarbour();
  const { content, snapshots, leases, images } = harbour.bridge;
  const name = `${server.host}/ark:1`;
  await leases.create(call, 'mine', {});
  const mine: Call = { ...call, lease: 'mine' };
  await assert.rejects(harbour.pulls.pull(mine, name, {}, quiet), { code: 'failed-precondition' });
  assert.deepEqual([...content.list(call, [])], []);
  assert.deepEqual([...snapshots.list(call, '', [])], []);
  assert.deepEqual(leases.resources(call, 'mine'), []);
  spoiled = false;
  await harbour.pulls.pull(mine, name, {}, quiet);
  assert.deepEqual(
    [...leases.list(call, [])].map(({ id }) => id),
    ['mine'],
  );
  await images.delete(call, name, { sync: true });
  assert.equal([...content.list(call, [])].length, 5);
  assert.equal([...snapshots.list(call, '', [])].length, 3);
  await leases.delete(call, 'mine', { sync: true });
  nothingLeft(harbour);
  await assert.rejects(harbour.pulls.pull(mine, name, {}, quiet), { code: 'not-found' });
});

test('a layer that fails ends the downloads of the others', { timeout: 30_000 }, async () => {
  const [first, second] = image.layers;
  await using server = await serveImage(image, (digest, _range, send) => {
    if (digest === first?.digest) send(200, Buffer.alloc(first.size));
    // The other one is never answered.
    return digest === first?.digest || digest === second?.digest;
  });
  await using harbour = await openHarbour();
  await assert.rejects(harbour.pulls.pull(call, `${server.host}/ark:1`, {}, quiet), { code: 'failed-precondition' });
  nothingLeft(harbour);
});

test('a config that lies about a layer is found out', async () => {
  const lying = makeImage({ layers: [[{ name: 'a', data: 'a' }]] });
  const config = Buffer.from(
    (lying.blobs.get(lying.config.digest) ?? '').toString().replace(diffIds(lying)[0] ?? '', diffIds(image)[0] ?? ''),
  );
  const digest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
  const manifest = Buffer.from(lying.manifest.toString().replace(lying.config.digest, digest));
  const target = { ...lying.target, digest: `sha256:${createHash('sha256').update(manifest).digest('hex')}` };
  const made = { ...lying, manifest, target, blobs: new Map([...lying.blobs, [digest, config]]) };
  await using server = await serveImage(made, () => false);
  await using harbour = await openHarbour();
  await assert.rejects(harbour.pulls.pull(call, `${server.host}/ark:1`, {}, quiet), {
    code: 'data-loss',
    message: /unpacks to sha256:.*but the image's config says/,
  });
  nothingLeft(harbour);
});

test('a caller who leaves ends the pull, and another who wants the same goes on', async () => {
  await using server = await serveImage(image, () => false);
  await using harbour = await openHarbour();
  const leaving = new AbortController();
  const blocked = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  harbour.differ.gate = async () => {
    harbour.differ.gate = async () => {};
    reached.resolve();
    await blocked.promise;
    leaving.signal.throwIfAborted();
  };
  const first = harbour.pulls.pull({ ...call, signal: leaving.signal }, `${server.host}/ark:1`, {}, quiet);
  await reached.promise;
  const second = harbour.pulls.pull(call, `${server.host}/ark:1`, {}, quiet);
  leaving.abort();
  blocked.resolve();
  await assert.rejects(first, { name: 'AbortError' });
  await second;
  await harbour.bridge.gc.run(call.signal);
  assert.equal([...harbour.bridge.snapshots.list(call, '', [])].length, 3);
  assert.equal([...harbour.bridge.content.list(call, [])].length, 5);
});

test('an image for other platforms says which it has', async () => {
  const foreign = makeImage({ layers: [], platform: { os: 'linux', architecture: 'mips64le' } });
  const index = makeIndex([foreign]);
  await using server = await serveImage({ ...foreign, target: index.target, manifest: index.manifest }, () => false);
  await using harbour = await openHarbour();
  const platform = `${hostPlatform.os}/${hostPlatform.architecture}`;
  await assert.rejects(harbour.pulls.pull(call, `${server.host}/ark:1`, {}, quiet), {
    code: 'not-found',
    message: `image "${server.host}/ark:1": no match for platform ${platform} in manifest: it has linux/mips64le`,
  });
  nothingLeft(harbour);
});

test('after a kill downloads stay, and trees that were not synced go', async () => {
  await using harbour = await openHarbour();
  const { leases } = harbour.bridge;
  const label = { 'hakobune.io/pull': 'docker.io/library/x:latest' };
  const digest = `sha256:${'ab'.repeat(32)}`;
  const resources = [
    { type: 'content', id: digest },
    { type: 'ingests', id: `layer-${digest}` },
    { type: 'snapshots/overlayfs', id: digest },
  ];
  for (const id of ['left', 'client']) {
    await leases.create(call, id, id === 'left' ? label : {});
    for (const resource of resources) await leases.addResource(call, id, resource);
  }
  await leases.create(call, 'empty', label);
  await harbour.pulls.recover(call);
  assert.deepEqual(
    [...leases.list(call, [])].map(({ id }) => [id, leases.resources(call, id).map(({ type }) => type)]),
    [
      ['client', ['content', 'ingests', 'snapshots/overlayfs']],
      ['left', ['content', 'ingests']],
    ],
  );
});

test(
  'an image goes out again: blobs side by side, mounted across repositories, the manifest last',
  { skip: noRegistry() },
  async () => {
    await using server = await startRegistry();
    await using harbour = await openHarbour();
    const { images } = harbour.bridge;
    const other = makeImage({ layers: [[{ name: 'x', data: 'x' }]], platform: { os: 'plan9', architecture: 'mips' } });
    await pushImage(server.url, 'ark', '1', makeIndex([other, image]));
    const { target } = await harbour.pulls.pull(call, `${server.host}/ark:1`, {}, quiet);
    await images.create(call, { name: `${server.host}/raft:2`, target, labels: {} });
    const stages = new Set<string>();
    // Only one platform is here, so its image goes alone.
    assert.equal(
      await harbour.pushes.push(call, `${server.host}/raft:2`, {}, ({ name, stage }) =>
        stages.add(`${name.split('-', 1)[0]} ${stage}`),
      ),
      image.target.digest,
    );
    const kinds = ['manifest waiting', 'config waiting', 'layer waiting', 'config mounted', 'layer mounted'];
    assert.deepEqual(stages, new Set([...kinds, 'manifest pushed']));
    assert.equal(server.log().match(/PATCH \/v2\/raft\/blobs|PUT \/v2\/raft\/blobs/), null);
    assert.deepEqual(await harbour.registry.resolve(`${server.host}/raft:2`, {}, call.signal), image.target);

    await using elsewhere = await startRegistry();
    await images.create(call, { name: `${elsewhere.host}/raft:2`, target: image.target, labels: {} });
    stages.clear();
    await harbour.pushes.push(call, `${elsewhere.host}/raft:2`, {}, ({ stage }) => stages.add(stage));
    assert.deepEqual(stages, new Set(['waiting', 'pushing', 'pushed']));
    stages.clear();
    await harbour.pushes.push(call, `${elsewhere.host}/raft:2`, {}, ({ stage }) => stages.add(stage));
    assert.deepEqual(stages, new Set(['waiting', 'exists', 'pushed']));
    await assert.rejects(harbour.pushes.push(call, `${elsewhere.host}/none:1`, {}, quiet), { code: 'not-found' });
  },
);
