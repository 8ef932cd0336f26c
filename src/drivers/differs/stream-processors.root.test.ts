import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { fromBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { digestOf } from '#base/digest.ts';
import type { ApplyOptions } from '#core/differs.ts';
import type { Descriptor } from '#core/images.ts';
import { memoryBlob } from '#core/suites/differ.ts';
import { makeTar } from '#core/suites/tar-writer.ts';
import { TarDiffer } from './differ.ts';
import { chainFor, type StreamProcessor } from './stream-processors.ts';

const tar = 'application/vnd.oci.image.layer.v1.tar';
const secret = `${tar}+gzip+encrypted`;
const places: string[] = [];
let place: string;
const at = (name: string): string => path.join(place, name);
beforeEach(async () => {
  place = await mkdtemp(path.join(os.tmpdir(), 'hako-processors-'));
  places.push(place);
  await mkdir(at('root'));
});
after(async () => {
  for (const one of places) await rm(one, { recursive: true, force: true });
});

/** A shell script as a processor. */
async function script(id: string, accepts: string, returns: string, text: string): Promise<StreamProcessor> {
  await writeFile(at(id), `#!/bin/sh\n${text}\n`);
  chmodSync(at(id), 0o755);
  return { id, accepts: [accepts], returns, path: at(id), args: ['one', 'two words'], env: ['GREETING=hello world'] };
}

async function apply(
  processors: StreamProcessor[],
  mediaType: string,
  data: Uint8Array,
  options: ApplyOptions & { signal?: AbortSignal } = {},
): Promise<Descriptor> {
  const differ = await TarDiffer.start(at('state'), processors);
  try {
    const layer = { mediaType, digest: digestOf(data), size: data.length };
    const mounts = [{ type: 'bind', source: at('root'), options: ['rw'] }];
    return await differ.apply(layer, memoryBlob(data), mounts, options.signal ?? new AbortController().signal, options);
  } finally {
    differ[Symbol.dispose]();
  }
}

const archive = makeTar([{ name: 'file', content: 'x'.repeat(300_000) }]);
const swapped = (data: Uint8Array): Buffer => Buffer.from(data.map((byte) => byte ^ 0));

test('a layer goes through one program after another, each told its type, its payload and no more', async () => {
  const first = await script(
    'first',
    'app/outer',
    secret,
    `cat <&3 >${at('payload')}; echo "$STREAM_PROCESSOR_MEDIATYPE|$GREETING|$*" >${at('told')}; exec cat`,
  );
  const second = await script(
    'second',
    secret,
    `${tar}+gzip`,
    `[ -e /proc/self/fd/3 ] && echo open >${at('open')}; echo fine >/dev/stderr; exec tail -c +7`,
  );
  const data = Buffer.concat([Buffer.from('SECRET'), gzipSync(archive)]);
  const payloads = {
    first: { typeUrl: 'type/one', value: Buffer.alloc(200_000, 'k') },
    other: { typeUrl: 'type/two', value: Buffer.from('not for it') },
  };
  const applied = await apply([first, second], 'app/outer', data, { payloads });
  assert.deepEqual(applied, { mediaType: tar, digest: digestOf(archive), size: archive.length });
  assert.equal(readFileSync(at('root/file')).length, 300_000);
  assert.equal(readFileSync(at('told'), 'utf8'), 'app/outer|hello world|one two words\n');
  assert.ok(!existsSync(at('open')));
  const payload = fromBinary(AnySchema, readFileSync(at('payload')));
  assert.equal(payload.typeUrl, 'type/one');
  assert.equal(payload.value.length, 200_000);
});

test('a program that gives a plain tar ends the chain, whether its answer is a tar or not', async () => {
  const plain = await script('plain', 'app/x', tar, 'exec cat');
  assert.equal((await apply([plain], 'app/x', swapped(archive))).digest, digestOf(archive));
  await assert.rejects(apply([plain], 'app/x', Buffer.alloc(4096, 'no tar')), { code: 'invalid-argument' });
});

test('what a program says when it fails is what the caller hears', async () => {
  const bad = await script('bad', secret, `${tar}+gzip`, 'cat >/dev/null; echo "no key for you" >&2; exit 3');
  await assert.rejects(apply([bad], secret, gzipSync(archive)), {
    code: 'unknown',
    message: /"bad" ended with status 3: no key for you/,
  });
  const late = await script('late', secret, `${tar}+gzip`, 'cat; echo "checksum wrong" >&2; exit 1');
  await assert.rejects(apply([late], secret, gzipSync(archive)), { message: /checksum wrong/ });
  const daemon = await script(
    'daemon',
    secret,
    tar,
    `setsid sleep 5 >/dev/null & cat >/dev/null; echo alas >&2; exit 1`,
  );
  await assert.rejects(apply([daemon], secret, archive), { message: /"daemon" ended with status 1: alas/ });
  const missing = { ...bad, path: at('missing') };
  await assert.rejects(apply([missing], secret, gzipSync(archive)), {
    code: 'unknown',
    message: /"bad" could not be started/,
  });
  assert.deepEqual(await readdir(at('state')), []);
});

test('an abort ends programs with all that they have started', async () => {
  const slow = await script('slow', secret, tar, `sleep 1000 & echo $! >${at('pid')}; wait`);
  const abort = new AbortController();
  const reason = new Error('the caller left');
  const work = apply([slow], secret, archive, { signal: abort.signal });
  while (!existsSync(at('pid')) || readFileSync(at('pid'), 'utf8') === '')
    await new Promise((go) => setTimeout(go, 10));
  abort.abort(reason);
  await assert.rejects(work, reason);
  const pid = readFileSync(at('pid'), 'utf8').trim();
  for (let n = 0; n < 300 && alive(pid); n++) await new Promise((go) => setTimeout(go, 10));
  assert.ok(!alive(pid));
});

/** A zombie is nobody's to count: whoever is its parent now reaps it in time. */
const alive = (pid: string): boolean =>
  /^[^Z]/.test(spawnSync('ps', ['-o', 'stat=', '-p', pid], { encoding: 'utf8' }).stdout.trim());

test('types are taken as containerd takes them', () => {
  const chain = (mediaType: string): string[] => chainFor(mediaType, []).map(({ processor }) => processor.id);
  for (const known of [
    tar,
    `${tar}+gzip`,
    `${tar}+zstd`,
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
    'application/vnd.docker.image.rootfs.diff.tar',
    'application/vnd.docker.image.rootfs.diff.tar.gzip',
    'application/vnd.docker.image.rootfs.diff.tar.zstd',
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  ])
    assert.deepEqual(chain(known), []);
  for (const unknown of ['', 'application/json', 'application/vnd.oci.image.manifest.v1+json'])
    assert.throws(() => chain(unknown), { code: 'unknown', message: /no processor for media-type/ });
  assert.throws(() => chain(secret), { code: 'unimplemented' });
  const circle = { id: 'round', accepts: ['a'], returns: 'a', path: '/x', args: [], env: [] };
  assert.throws(() => chainFor('a', [circle]), { code: 'invalid-argument', message: /circle/ });
});
