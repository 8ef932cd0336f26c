// Archives of images between real clients: Debian's `ctr`, which reads and writes them by itself, and `hakoctl`, which has
// the daemon do it by containerd's transfer service.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { openHarbour, type Harbour } from './support/daemon.ts';
import { output, refusal, rows } from './support/expect.ts';
import type { Outcome } from './support/guests.ts';
import { busyboxImage, tar, type Entry, type MadeImage } from './support/images.ts';
import { noContainers } from './support/machine.ts';

describe('archives of images', { skip: noContainers('ctr') }, () => {
  let harbour: Harbour;
  let dir: string;
  let image: MadeImage;
  const undo = new AsyncDisposableStack();
  after(() => undo.disposeAsync());
  before(async () => {
    harbour = await openHarbour(undo);
    dir = mkdtempSync(join(tmpdir(), 'ha-'));
    undo.defer(() => rmSync(dir, { recursive: true }));
    image = busyboxImage();
  });

  const ctr = (namespace: string, ...args: string[]): Promise<Outcome> =>
    harbour.guests.ctr(['-n', namespace, ...args]);
  const hakoctl = (namespace: string, ...args: string[]): Promise<Outcome> =>
    harbour.guests.hakoctl(['-n', namespace, ...args]);
  /** What the images of a namespace are called, and their digests. */
  const images = async (namespace: string): Promise<Record<string, string | undefined>> => {
    const list = rows(output(await ctr(namespace, 'images', 'ls')));
    return Object.fromEntries(list.map((row) => [row['REF'], row['DIGEST']]));
  };
  const blobs = async (namespace: string): Promise<string[]> =>
    output(await ctr(namespace, 'content', 'ls', '-q'))
      .split('\n')
      .filter((line) => line !== '')
      .toSorted();
  const keep = (name: string, bytes: Uint8Array): string => {
    const path = join(dir, name);
    writeFileSync(path, bytes);
    return path;
  };
  const runs = async (namespace: string, name: string): Promise<void> => {
    const outcome = await ctr(namespace, 'run', '--rm', name, `from-${namespace}`, 'echo', 'afloat');
    assert.equal(output(outcome), 'afloat');
  };

  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  const json = (name: string, value: unknown): Entry => ({ name, data: Buffer.from(JSON.stringify(value)) });
  const layout = (tag: string, change: (files: Entry[]) => Entry[] = (files) => files): Buffer => {
    const files = [...image.blobs, [image.target.digest, image.manifest] as const];
    const manifest = { ...image.target, annotations: { 'org.opencontainers.image.ref.name': tag } };
    return tar([
      json('oci-layout', { imageLayoutVersion: '1.0.0' }),
      json('index.json', { schemaVersion: 2, manifests: [manifest] }),
      ...change(files.map(([digest, data]) => ({ name: `blobs/sha256/${digest.slice(7)}`, data }))),
    ]);
  };
  /** As `docker save` writes it: its layers are not compressed, and nothing in it is a manifest. */
  const saved = (...tags: string[]): Buffer => {
    const layers = image.layers.map(({ digest }) => gunzipSync(image.blobs.get(digest)!));
    const files = layers.map((data) => ({ name: `${sha256(data)}/layer.tar`, data }));
    return tar([
      ...files,
      { name: 'config.json', data: image.blobs.get(image.config.digest)! },
      json('manifest.json', [{ Config: 'config.json', RepoTags: tags, Layers: files.map(({ name }) => name) }]),
    ]);
  };

  test('an OCI archive, packed with zstd, comes in ready to run', async () => {
    const file = keep('oci.tar.zst', zstdCompressSync(layout('v1')));
    const outcome = await hakoctl('oci', 'images', 'import', '--base-name', 'example.com/busybox', file);
    assert.match(output(outcome), /example\.com\/busybox:v1/);
    assert.deepEqual(await images('oci'), { 'example.com/busybox:v1': image.target.digest });
    await runs('oci', 'example.com/busybox:v1');
  });

  test('of a Docker archive both clients make the same image', async () => {
    const file = keep('saved.tar', saved('busybox:1', 'example.com/tools:2'));
    output(await hakoctl('saved', 'images', 'import', keep('saved.tar.gz', gzipSync(readFileSync(file)))));
    output(await ctr('saved-ctr', 'images', 'import', file));
    const here = await images('saved');
    assert.deepEqual(Object.keys(here), ['docker.io/library/busybox:1', 'example.com/tools:2']);
    assert.deepEqual(await images('saved-ctr'), here);
    await runs('saved', 'docker.io/library/busybox:1');
  });

  test('each client reads what the other one wrote', async () => {
    const names = ['docker.io/library/busybox:1', 'example.com/tools:2'];
    output(await hakoctl('saved', 'images', 'import', keep('again.tar', saved('busybox:1', 'example.com/tools:2'))));
    const [ours, theirs] = [join(dir, 'ours.tar'), join(dir, 'theirs.tar')];
    output(await hakoctl('saved', 'images', 'export', ours, ...names));
    output(await ctr('saved', 'images', 'export', theirs, ...names));
    output(await hakoctl('back', 'images', 'import', theirs));
    output(await ctr('back-ctr', 'images', 'import', ours));
    const before = await images('saved');
    assert.deepEqual(await images('back'), before);
    assert.deepEqual(await images('back-ctr'), before);
    await runs('back', names[1]!);
  });

  test('layers are packed on their way in where that is asked for', async () => {
    const file = keep('packed.tar', saved('packed:1'));
    output(await hakoctl('packed', 'images', 'import', '--compress-blobs', file));
    const [row] = rows(output(await ctr('packed', 'images', 'ls')));
    const manifest = output(await ctr('packed', 'content', 'get', row!['DIGEST']!));
    assert.match(manifest, /"application\/vnd\.docker\.image\.rootfs\.diff\.tar\.gzip"/);
    await runs('packed', 'docker.io/library/packed:1');
  });

  test('a damaged archive is refused and leaves nothing', async () => {
    const whole = layout('v1');
    const [layer] = image.layers;
    const spoil = (files: Entry[]): Entry[] =>
      files.map((file) =>
        file.name.endsWith(layer!.digest.slice(7))
          ? { ...file, data: Buffer.from(file.data!).fill(7, 100, 200) }
          : file,
      );
    const cases: [Uint8Array, RegExp][] = [
      [whole.subarray(0, whole.length / 2), /unexpected EOF/],
      [gzipSync(whole).subarray(0, 5000), /unexpected EOF/],
      [Buffer.alloc(5000, 'harbour'), /archive\/tar: invalid tar header/],
      [Buffer.alloc(0), /unrecognized image format/],
      [layout('v1', spoil), new RegExp(`${layer!.digest}: not found`)],
    ];
    for (const [bytes, message] of cases) {
      refusal(await hakoctl('damaged', 'images', 'import', '--no-unpack', keep('damaged.tar', bytes)), message);
      refusal(await hakoctl('damaged', 'images', 'import', keep('damaged.tar', bytes)), message);
    }
    assert.deepEqual(await images('damaged'), {});
    assert.deepEqual(await blobs('damaged'), []);
    assert.deepEqual(rows(output(await ctr('damaged', 'content', 'active'))), []);
    assert.deepEqual(rows(output(await ctr('damaged', 'snapshots', 'ls'))), []);
  });
});
