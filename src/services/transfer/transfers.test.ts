import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { digestOf } from '#base/digest.ts';
import { hostPlatform } from '#base/platforms.ts';
import { TarArchives } from '../../../test/support/archives.ts';
import { makeImage, makeIndex, tar, type Entry, type MadeImage } from '../../../test/support/images.ts';
import { call, leased, type Bridge } from '../../../test/support/bridge.ts';
import { openHarbour, type Harbour } from '../../../test/support/pulls.ts';
import { Diffs } from '../diffs.ts';
import type { ExportEnd, ImportEnd, NameRule, StoreEnd, TransferProgress } from './ends.ts';
import { Transfers } from './transfers.ts';

interface House {
  readonly harbour: Harbour;
  readonly bridge: Bridge;
  readonly transfers: Transfers;
  /** All that transfers have told. */
  readonly told: TransferProgress[];
  readonly tell: (progress: TransferProgress) => void;
}

async function house(t: TestContext): Promise<House> {
  const harbour = await openHarbour();
  t.after(() => harbour[Symbol.asyncDispose]());
  const archives = new TarArchives();
  t.after(() => archives.close());
  const { bridge, pulls, pushes, differ } = harbour;
  const { content, images, leases, snapshots } = bridge;
  const told: TransferProgress[] = [];
  const transfers = new Transfers({
    ...{ pulls, pushes, content, images, leases, snapshots, archives },
    diffs: new Diffs({ content, differs: [differ] }),
    drivers: new Map([['overlayfs', {}]]),
    defaultSnapshotter: 'overlayfs',
  });
  return { harbour, bridge, transfers, told, tell: (progress) => void told.push(progress) };
}

const prefix: NameRule = {
  name: 'import',
  isPrefix: true,
  allowOverwrite: true,
  addDigest: false,
  skipNamedDigest: false,
};
const store = (changes: Partial<StoreEnd> = {}): StoreEnd => ({
  kind: 'store',
  name: '',
  labels: {},
  platforms: [hostPlatform()],
  allMetadata: false,
  manifestLimit: 0,
  references: [prefix],
  unpacks: [{ platform: hostPlatform() }],
  ...changes,
});
const noUnpack = { unpacks: [] };

const archive = (bytes: Uint8Array, forceCompress = false): ImportEnd => ({
  kind: 'import',
  bytes: (async function* () {
    for (let at = 0; at < bytes.length; at += 3000) yield bytes.subarray(at, at + 3000);
  })(),
  compressed: true,
  forceCompress,
});

function exported(changes: Partial<ExportEnd> = {}): { end: ExportEnd; bytes: () => Buffer } {
  const pieces: Uint8Array[] = [];
  const end: ExportEnd = {
    kind: 'export',
    write: async (piece) => void pieces.push(Buffer.from(piece)),
    platforms: [],
    allPlatforms: false,
    skipDockerManifest: false,
    skipNonDistributable: false,
    ...changes,
  };
  return { end, bytes: () => Buffer.concat(pieces) };
}

const sample = (platform = hostPlatform(), mark = 'hello'): MadeImage =>
  makeImage({
    platform,
    layers: [[{ name: 'motd', data: Buffer.from(mark) }], [{ name: 'x', data: Buffer.from('y') }]],
  });
const blobFile = (digest: string, data: Uint8Array): Entry => ({ name: `blobs/sha256/${digest.slice(7)}`, data });
const filesOf = ({ blobs, target, manifest }: MadeImage): Entry[] =>
  [...blobs, [target.digest, manifest] as const].map(([digest, data]) => blobFile(digest, data));

/** An OCI layout over these descriptors. */
function layout(manifests: readonly object[], files: readonly Entry[], version = '1.0.0'): Buffer {
  const json = (name: string, value: unknown): Entry => ({ name, data: Buffer.from(JSON.stringify(value)) });
  return tar([
    ...files,
    json('index.json', { schemaVersion: 2, manifests }),
    json('oci-layout', { imageLayoutVersion: version }),
  ]);
}

const ref = (value: string): { annotations: Record<string, string> } => ({
  annotations: { 'org.opencontainers.image.ref.name': value },
});

/** What `docker save` writes: layers as plain tars. */
function dockerArchive(changes: { tags?: string[]; extra?: readonly Entry[]; layers?: string[] } = {}): Buffer {
  const layer = tar([{ name: 'motd', data: Buffer.from('docker') }]);
  const config = { ...hostPlatform(), config: {}, rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } };
  const { tags = ['web:1', 'example.com/web:2'], extra = [], layers = ['one/layer.tar'] } = changes;
  return tar([
    { name: 'one/layer.tar', data: gzipSync(layer) },
    { name: 'two/layer.tar', type: 'symlink', link: '../one/layer.tar' },
    { name: 'config.json', data: Buffer.from(JSON.stringify(config)) },
    {
      name: 'manifest.json',
      data: Buffer.from(JSON.stringify([{ Config: 'config.json', RepoTags: tags, Layers: layers }])),
    },
    ...extra,
  ]);
}

const namesIn = ({ bridge }: House): string[] => [...bridge.images.list(call, [])].map(({ name }) => name);

/** Fails unless nothing at all is in the store. */
async function assertNothingLeft({ bridge }: House): Promise<void> {
  await bridge.idle();
  assert.deepEqual([...bridge.images.list(call, [])], []);
  assert.deepEqual([...bridge.content.list(call, [])], []);
  assert.deepEqual(await bridge.content.statuses(call, []), []);
  assert.deepEqual([...bridge.leases.list(call, [])], []);
}

test('an OCI layout comes in under its tags, held and unpacked', async (t) => {
  const it = await house(t);
  const image = sample();
  const bytes = layout([{ ...image.target, ...ref('v1') }], filesOf(image));
  await it.transfers.transfer(call, archive(gzipSync(bytes)), store(), it.tell);
  assert.deepEqual(namesIn(it), ['import:v1']);
  assert.deepEqual(
    it.told.map(({ event, name = '' }) => `${event} ${name}`),
    ['Importing ', 'saved import:v1', 'Completed import '],
  );
  // Only what the image leads to outlives the import.
  await it.bridge.gc.run(call.signal);
  assert.deepEqual(
    [...it.bridge.content.list(call, [])].map(({ digest }) => digest).toSorted(),
    [image.target.digest, ...image.blobs.keys()].toSorted(),
  );
  const config = it.bridge.content.info(call, image.config.digest).labels;
  const top = config['containerd.io/gc.ref.snapshot.overlayfs'] ?? '';
  assert.equal(it.bridge.snapshots.stat(call, 'overlayfs', top).kind, 'committed');
  assert.deepEqual([...it.bridge.leases.list(call, [])], []);
});

test('names in an archive become names of images by the rules of the store', async (t) => {
  const it = await house(t);
  const image = sample();
  const digest = image.target.digest;
  const whole = { 'io.containerd.image.name': 'docker.io/library/web:1' };
  const cases: [Record<string, string>, Partial<NameRule>, string[]][] = [
    [ref('v1').annotations, {}, ['import:v1']],
    [ref('other.org/x:1').annotations, {}, ['other.org/x:1']],
    [ref('other.org/x:1').annotations, { allowOverwrite: false }, []],
    [ref('import/sub:1').annotations, { allowOverwrite: false }, ['import/sub:1']],
    [ref('important:1').annotations, { allowOverwrite: false }, []],
    [whole, {}, ['docker.io/library/web:1']],
    [whole, { allowOverwrite: false }, []],
    [{}, {}, []],
    [{}, { addDigest: true }, [`import@${digest}`]],
    [ref('v1').annotations, { addDigest: true }, ['import:v1', `import@${digest}`]],
    [ref('v1').annotations, { addDigest: true, skipNamedDigest: true }, ['import:v1']],
    [ref('v1').annotations, { isPrefix: false }, []],
  ];
  for (const [annotations, rule, expected] of cases) {
    const bytes = layout([{ ...image.target, annotations }], filesOf(image));
    const to = store({
      ...noUnpack,
      references: [{ ...prefix, ...rule }],
      name: rule.isPrefix === false ? '' : 'whole',
    });
    await it.transfers.transfer(call, archive(bytes), to, it.tell);
    const more = rule.isPrefix === false ? ['import'] : ['whole'];
    assert.deepEqual(namesIn(it).toSorted(), [...expected, ...more].toSorted(), JSON.stringify({ annotations, rule }));
    for (const name of namesIn(it)) await it.bridge.images.delete(call, name, { sync: false });
  }
});

test('a Docker archive gets manifests, and layers that stand twice are found', async (t) => {
  const it = await house(t);
  const bytes = dockerArchive();
  await it.transfers.transfer(call, archive(bytes), store(), it.tell);
  assert.deepEqual(namesIn(it).toSorted(), ['docker.io/library/web:1', 'example.com/web:2']);
  const { target } = it.bridge.images.get(call, 'docker.io/library/web:1');
  assert.equal(target.mediaType, 'application/vnd.docker.distribution.manifest.v2+json');
  assert.deepEqual(target.annotations, {
    'io.containerd.image.name': 'docker.io/library/web:1',
    'org.opencontainers.image.ref.name': '1',
  });
  const linked = await house(t);
  const viaLink = archive(dockerArchive({ layers: ['two/layer.tar'], tags: [] }));
  const to = store({ references: [{ ...prefix, addDigest: true }] });
  await linked.transfers.transfer(call, viaLink, to, linked.tell);
  assert.deepEqual(namesIn(linked), [`import@${target.digest}`]);
});

test('plain layers of a Docker archive are compressed where that is wanted, or the store has them so', async (t) => {
  const it = await house(t);
  const layer = tar([{ name: 'motd', data: Buffer.from('plain '.repeat(500)) }]);
  const config = { ...hostPlatform(), config: {}, rootfs: { type: 'layers', diff_ids: [digestOf(layer)] } };
  const manifest = [{ Config: 'c.json', RepoTags: ['plain:1'], Layers: ['l.tar'] }];
  const bytes = tar([
    { name: 'l.tar', data: layer },
    { name: 'c.json', data: Buffer.from(JSON.stringify(config)) },
    { name: 'manifest.json', data: Buffer.from(JSON.stringify(manifest)) },
  ]);
  const layerOf = async (): Promise<{ mediaType: string; digest: string }> => {
    const { target } = it.bridge.images.get(call, 'docker.io/library/plain:1');
    const body = Buffer.from(await it.bridge.content.readAll(call, target.digest)).toString();
    return (JSON.parse(body) as { layers: { mediaType: string; digest: string }[] }).layers[0]!;
  };
  await it.transfers.transfer(call, archive(bytes), store(noUnpack), it.tell);
  assert.equal((await layerOf()).mediaType, 'application/vnd.docker.image.rootfs.diff.tar');
  await it.transfers.transfer(call, archive(bytes, true), store(), it.tell);
  const compressed = await layerOf();
  assert.equal(compressed.mediaType, 'application/vnd.docker.image.rootfs.diff.tar.gzip');
  assert.deepEqual(gunzipSync(await it.bridge.content.readAll(call, compressed.digest)), layer);
  // Known by its label, it is taken again without being asked for.
  await it.transfers.transfer(call, archive(bytes), store(noUnpack), it.tell);
  assert.deepEqual(await layerOf(), compressed);
});

test('an archive that fails leaves nothing, whoever holds the lease', async (t) => {
  const it = await house(t);
  const image = sample();
  const good = layout([{ ...image.target, ...ref('v1') }], filesOf(image));
  const [layer] = image.layers;
  const without = filesOf(image).filter(({ name }) => !name.endsWith(layer!.digest.slice(7)));
  const spoiled = [...without, blobFile(layer!.digest, Buffer.from('other bytes'))];
  const entry = { ...image.target, ...ref('v1') };
  const cases: [string, Uint8Array, RegExp][] = [
    ['cut', good.subarray(0, 3000), /unexpected EOF/],
    ['junk', Buffer.alloc(4096, 3), /archive\/tar: invalid tar header/],
    ['empty', Buffer.alloc(0), /unrecognized image format/],
    ['version', layout([entry], filesOf(image), '2.0.0'), /unsupported OCI version 2\.0\.0/],
    [
      'no index',
      tar([{ name: 'oci-layout', data: Buffer.from('{"imageLayoutVersion":"1.0.0"}') }]),
      /missing index\.json/,
    ],
    ['missing layer', layout([entry], without), new RegExp(`content digest ${layer!.digest}: not found`)],
    ['spoiled layer', layout([entry], spoiled), new RegExp(`content digest ${layer!.digest}: not found`)],
    [
      'other platform',
      layout([{ ...entry, platform: { os: 'linux', architecture: 's390x' } }], filesOf(image)),
      /image might be filtered out/,
    ],
    [
      'docker layer',
      dockerArchive({ layers: ['three/layer.tar'] }),
      /failed to resolve layers: layer "three\/layer\.tar" not found/,
    ],
    ['docker tag', dockerArchive({ tags: ['Web:1'] }), /normalize image ref "Web:1": invalid reference format/],
    [
      'docker link',
      dockerArchive({ extra: [{ name: 'a', type: 'symlink', link: 'none' }] }),
      /no target for symlink layer/,
    ],
  ];
  for (const [what, bytes, message] of cases) {
    for (const to of [store(), store(noUnpack)])
      await assert.rejects(it.transfers.transfer(call, archive(bytes), to, it.tell), message, what);
    await assertNothingLeft(it);
  }
  const { id } = await it.bridge.leases.create(call, '', {});
  await assert.rejects(it.transfers.transfer(leased(id), archive(good.subarray(0, 3000)), store(), it.tell));
  assert.deepEqual(it.bridge.leases.resources(call, id), []);
  await assert.rejects(it.transfers.transfer(leased('none'), archive(good), store(), it.tell), { code: 'not-found' });
});

test('an import that is cancelled leaves nothing', async (t) => {
  const it = await house(t);
  const image = sample();
  const bytes = layout([{ ...image.target, ...ref('v1') }], filesOf(image));
  const stop = new AbortController();
  const source: ImportEnd = {
    ...archive(bytes),
    bytes: (async function* () {
      yield bytes.subarray(0, 2000);
      stop.abort();
      yield bytes.subarray(2000);
    })(),
  };
  await assert.rejects(it.transfers.transfer({ ...call, signal: stop.signal }, source, store(), it.tell));
  // Gone when the client hears of it, not soon after.
  assert.deepEqual([...it.bridge.content.list(call, [])], []);
  await assertNothingLeft(it);
});

test('of several platforms those are required that are wanted', async (t) => {
  const it = await house(t);
  const here = sample();
  const there = sample({ os: 'linux', architecture: 's390x' }, 'elsewhere');
  const index = makeIndex([here, there]);
  const files = [...filesOf(here), blobFile(index.target.digest, index.manifest)];
  const bytes = layout([{ ...index.target, ...ref('v1') }], files);
  await it.transfers.transfer(call, archive(bytes), store(), it.tell);
  assert.deepEqual(namesIn(it), ['import:v1']);
  await assert.rejects(it.transfers.transfer(call, archive(bytes), store({ platforms: [] }), it.tell), /not found/);
  const whole = layout([{ ...index.target, ...ref('v2') }], [...files, ...filesOf(there)]);
  await it.transfers.transfer(call, archive(whole), store({ platforms: [] }), it.tell);

  // An export takes this machine's, those that are asked for, or all that there are.
  const sizes: number[] = [];
  for (const changes of [{}, { platforms: [there.platform] }, { allPlatforms: true }]) {
    const out = exported({ ...changes, skipDockerManifest: true });
    await it.transfers.transfer(call, store({ name: 'import:v2', references: [] }), out.end, it.tell);
    const blobs = out
      .bytes()
      .toString('latin1')
      .match(/blobs\/sha256\/[0-9a-f]{64}/g) ?? ['none'];
    sizes.push(blobs.length);
    assert.equal(blobs.includes(`blobs/sha256/${there.config.digest.slice(7)}`), Object.keys(changes).length > 0);
  }
  assert.deepEqual(sizes, [5, 5, 8]);
  const none = exported({ platforms: [{ os: 'linux', architecture: 'riscv64' }] });
  await assert.rejects(it.transfers.transfer(call, store({ name: 'import:v2', references: [] }), none.end, it.tell), {
    code: 'not-found',
    message: 'no manifest found for platform: not found',
  });
});

test('what is exported comes in again under the same names, and twice the same', async (t) => {
  const it = await house(t);
  await it.transfers.transfer(call, archive(dockerArchive()), store(), it.tell);
  const from = store({ references: namesIn(it).map((name) => ({ ...prefix, name, isPrefix: false })) });
  const first = exported();
  await it.transfers.transfer(call, from, first.end, it.tell);
  const second = exported();
  await it.transfers.transfer(call, from, second.end, it.tell);
  assert.deepEqual(first.bytes(), second.bytes());
  assert.match(first.bytes().toString('latin1'), /"RepoTags":\["web:1","example\.com\/web:2"\]/);

  const other = await house(t);
  await other.transfers.transfer(call, archive(first.bytes()), store(), other.tell);
  assert.deepEqual(namesIn(other), namesIn(it));
  for (const name of namesIn(it))
    assert.equal(other.bridge.images.get(call, name).target.digest, it.bridge.images.get(call, name).target.digest);
});

test('an export whose content is not all here fails before its first byte, or goes without', async (t) => {
  const it = await house(t);
  const image = sample();
  const bytes = layout([{ ...image.target, ...ref('v1') }], filesOf(image));
  await it.transfers.transfer(call, archive(bytes), store(), it.tell);
  const gone = image.layers[0]!.digest;
  await it.bridge.content.delete(call, gone);
  const out = exported();
  const from = store({ name: 'import:v1', references: [] });
  await assert.rejects(it.transfers.transfer(call, from, out.end, it.tell), {
    code: 'not-found',
    message: `failed to get reader: content digest ${gone}: not found`,
  });
  assert.equal(out.bytes().length, 0);
  const present = exported({ skipMissing: true });
  await it.transfers.transfer(call, from, present.end, it.tell);
  assert.ok(present.bytes().includes(image.target.digest.slice(7)));
  assert.deepEqual([...it.bridge.leases.list(call, [])], []);
});

test('tags point names at a target, and replace what they meant before', async (t) => {
  const it = await house(t);
  const image = sample();
  const bytes = layout([{ ...image.target, ...ref('v1') }], filesOf(image));
  await it.transfers.transfer(call, archive(bytes), store(), it.tell);
  const from = store({ name: 'import:v1', references: [] });
  const labels = { a: 'b' };
  for (let twice = 0; twice < 2; twice++)
    await it.transfers.transfer(call, from, store({ name: 'other:1', references: [], labels }), it.tell);
  assert.deepEqual(it.bridge.images.get(call, 'other:1').labels, labels);
  assert.equal(it.bridge.images.get(call, 'other:1').target.digest, image.target.digest);
  await assert.rejects(it.transfers.transfer(call, store({ name: 'ghost' }), from, it.tell), {
    code: 'not-found',
    message: 'image "ghost": not found',
  });
  await assert.rejects(it.transfers.transfer(call, from, store({ references: [] }), it.tell), {
    code: 'not-found',
    message: 'no image name found: not found',
  });
});

test('what does not go from here to there is not implemented', async (t) => {
  const it = await house(t);
  const registry = { kind: 'registry', reference: 'example.com/a:1', options: {} } as const;
  await assert.rejects(it.transfers.transfer(call, registry, registry, it.tell), { code: 'unimplemented' });
  await assert.rejects(it.transfers.transfer(call, exported().end, store(), it.tell), { code: 'unimplemented' });
  const out = exported();
  await it.transfers.transfer(call, archive(Buffer.from('as it is')), out.end, it.tell);
  assert.equal(out.bytes().toString(), 'as it is');
});
