import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HakoError } from '#base/errors.ts';
import type { Engine } from '#services/engine/engine.ts';
import { OpenDoor, type Answer } from './fixture.ts';

const digest = `sha256:${'ab12'.repeat(16)}`;
const target = { mediaType: 'x', digest, size: 1 };
const lines = ({ text }: Answer): unknown[] =>
  text
    .trim()
    .split('\r\n')
    .map((line) => JSON.parse(line) as unknown);
type Pull = Engine['pull'];

test('a pull tells what docker needs for its bars, in its words and order', async () => {
  const pull: Pull = async (_call, _reference, _options, progress) => {
    const layer = (
      stage: 'waiting' | 'exists' | 'downloading' | 'downloaded' | 'extracting' | 'done',
      bytes = 0,
      of = digest,
    ) => progress({ kind: 'layer', digest: of, stage, bytes, total: 2_000_000 });
    progress({ kind: 'resolved', target });
    layer('waiting');
    layer('exists', 0, 'sha256:ffffffffffffffff');
    layer('downloading', 1_000_000);
    layer('downloaded', 2_000_000);
    layer('extracting', 2_000_000);
    layer('done');
    progress({ kind: 'timing', resolve: 1, download: 2, unpack: 3 });
    return { reference: 'docker.io/library/alpine:3', digest, upToDate: false };
  };
  await using open = await OpenDoor.over({ pull });
  const answer = await open.ask('POST', '/v1.43/images/create?fromImage=alpine&tag=3');
  const id = 'ab12ab12ab12';
  const quiet = (status: string, of = id) => ({ status, progressDetail: {}, id: of });
  const bar = `[${'='.repeat(25)}>${' '.repeat(25)}]      1MB/2MB`;
  assert.deepEqual(lines(answer), [
    { status: 'Pulling from library/alpine', id: '3' },
    quiet('Pulling fs layer'),
    quiet('Waiting'),
    quiet('Already exists', 'ffffffffffff'),
    { status: 'Downloading', progressDetail: { current: 1_000_000, total: 2_000_000 }, progress: bar, id },
    quiet('Verifying Checksum'),
    quiet('Download complete'),
    {
      status: 'Extracting',
      progressDetail: { current: 2_000_000, total: 2_000_000 },
      progress: `[${'='.repeat(50)}>]      2MB/2MB`,
      id,
    },
    quiet('Pull complete'),
    { status: `Digest: ${digest}` },
    { status: 'Status: Downloaded newer image for alpine:3' },
  ]);
});

test('times of the stages are told only to those who ask', async () => {
  const pull: Pull = async (_call, _reference, _options, progress) => {
    progress({ kind: 'timing', resolve: 1, download: 2, unpack: 3 });
    return { reference: 'x', digest, upToDate: true };
  };
  await using open = await OpenDoor.over({ pull });
  const plain = await open.ask('POST', '/images/create?fromImage=alpine');
  assert.deepEqual(lines(plain), [
    { status: `Digest: ${digest}` },
    { status: 'Status: Image is up to date for alpine:latest' },
  ]);
  const timed = await open.ask('POST', '/images/create?fromImage=alpine', undefined, { 'X-Hakobune-Timing': '1' });
  assert.deepEqual(lines(timed)[0], {
    aux: { 'hakobune.io/timing': { kind: 'timing', resolve: 1, download: 2, unpack: 3 } },
  });
});

test('a pull that fails at once is a status, one that fails later is a line', async () => {
  let late = false;
  const pull: Pull = async (_call, _reference, _options, progress) => {
    if (late) progress({ kind: 'resolved', target });
    throw new HakoError('not-found', 'manifest unknown');
  };
  await using open = await OpenDoor.over({ pull });
  const early = await open.ask('POST', '/images/create?fromImage=alpine');
  assert.deepEqual([early.status, early.text], [404, '{"message":"manifest unknown"}\n']);
  late = true;
  const told = await open.ask('POST', '/images/create?fromImage=alpine');
  assert.equal(told.status, 200);
  assert.deepEqual(lines(told).at(-1), {
    errorDetail: { code: 404, message: 'manifest unknown' },
    error: 'manifest unknown',
  });
});

test('names, tags and digests come together as Docker sends them', async () => {
  const seen: string[] = [];
  await using open = await OpenDoor.over({
    pull: async (_call, reference) => (seen.push(reference), { reference, digest, upToDate: true }),
  });
  await open.ask('POST', `/images/create?fromImage=alpine&tag=${digest}`);
  await open.ask('POST', '/images/create?fromImage=127.0.0.1:5000/a/b:old&tag=new');
  await open.ask('POST', '/images/create?fromImage=docker.io/library/alpine:3');
  assert.deepEqual(seen, [`alpine@${digest}`, '127.0.0.1:5000/a/b:new', 'alpine:3']);
  assert.equal((await open.ask('POST', '/images/create?fromImage=UPPER')).status, 400);
  assert.equal((await open.ask('POST', '/images/create')).status, 400);
  assert.equal((await open.ask('POST', '/images/create?fromSrc=-')).status, 501);
});

test('credentials are read from their header, and never repeated', async () => {
  const seen: unknown[] = [];
  await using open = await OpenDoor.over({
    pull: async (_call, reference, options) => (seen.push(options.credentials), { reference, digest, upToDate: true }),
  });
  const ask = (value: string) =>
    open.ask('POST', '/images/create?fromImage=alpine', undefined, { 'X-Registry-Auth': value });
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  await ask(encoded({ username: 'u', password: 'p>?' }));
  await ask(encoded({ auth: Buffer.from('u:p:q').toString('base64') }));
  await ask(encoded({ identitytoken: 't' }));
  await ask(encoded({}));
  assert.deepEqual(seen, [
    { username: 'u', password: 'p>?' },
    { username: 'u', password: 'p:q' },
    { username: '', password: '', identityToken: 't' },
    undefined,
  ]);
  for (const bad of ['secret!', encoded(['secret']), encoded({ username: 3, password: 'secret' })]) {
    const { status, text } = await ask(bad);
    assert.equal(status, 400);
    assert.doesNotMatch(text, /secret/);
  }
});

test('a push tells repository, layers and digest', async () => {
  await using open = await OpenDoor.over({
    push: async (_call, reference, _options, progress) => {
      progress({ digest, stage: 'waiting', bytes: 0, total: 1 });
      progress({ digest, stage: 'waiting', bytes: 0, total: 1 });
      progress({ digest, stage: 'exists', bytes: 1, total: 1 });
      return { reference, digest, size: 7 };
    },
  });
  const answer = await open.ask('POST', '/images/127.0.0.1:5000/a/b/push?tag=t');
  assert.deepEqual(lines(answer), [
    { status: 'The push refers to repository [127.0.0.1:5000/a/b]' },
    { status: 'Preparing', progressDetail: {}, id: 'ab12ab12ab12' },
    { status: 'Layer already exists', progressDetail: {}, id: 'ab12ab12ab12' },
    { status: `t: digest: ${digest} size: 7` },
    { aux: { Tag: 't', Digest: digest, Size: 7 } },
  ]);
});
