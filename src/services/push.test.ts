import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from '#core/images.ts';
import { call } from '../../test/support/bridge.ts';
import { makeImage, makeIndex, pushImage } from '../../test/support/images.ts';
import { openHarbour, type Harbour } from '../../test/support/pulls.ts';
import { noRegistry, startRegistry } from '../../test/support/registry.ts';
import type { PushedObject } from './pull-options.ts';

const quiet = (): void => {};
const platform = (architecture: string): { os: string; architecture: string } => ({ os: 'linux', architecture });
const make = (architecture: string): ReturnType<typeof makeImage> =>
  makeImage({ layers: [[{ name: architecture, data: architecture.repeat(100) }]], platform: platform(architecture) });
const images = ['amd64', 'arm64', 's390x'].map(make);
const index = makeIndex(images);
const [amd64, arm64] = images;
const skip = noRegistry();

const copy = async ({ bridge }: Harbour, target: Descriptor, name: string): Promise<string> => {
  await bridge.images.create(call, { name, target, labels: {} });
  return name;
};

test('an image with all platforms goes out whole, one of them alone where it is asked for', { skip }, async () => {
  await using server = await startRegistry();
  await using harbour = await openHarbour();
  await pushImage(server.url, 'sea/ark', '1', index);
  const options = { platforms: 'all', unpack: 'none' } as const;
  const { target } = await harbour.pulls.pull(call, `${server.host}/sea/ark:1`, options, quiet);
  await using other = await startRegistry();
  const told: PushedObject[] = [];
  const whole = await copy(harbour, target, `${other.host}/whole:1`);
  assert.equal(await harbour.pushes.push(call, whole, {}, (event) => told.push(event)), target.digest);
  assert.deepEqual(await harbour.registry.resolve(whole, {}, call.signal), target);
  const [layer] = arm64?.layers ?? [];
  const steps = told.filter(({ digest }) => digest === layer?.digest);
  assert.deepEqual(
    [steps[0]?.stage, steps.at(-1)?.stage, steps[0]?.name, steps[0]?.parents],
    ['waiting', 'pushed', `layer-${layer?.digest}`, [`manifest-${arm64?.target.digest}`]],
  );
  const root = told.find(({ digest }) => digest === target.digest);
  assert.deepEqual([root?.name, root?.parents], [`index-${target.digest}`, [whole]]);

  const one = { image: whole, platforms: [platform('arm64')] };
  assert.equal(await harbour.pushes.push(call, `${other.host}/alone:1`, one, quiet), arm64?.target.digest);
});

test('a blob that is not here is mounted from where its manifest came from, and else left out', { skip }, async () => {
  await using server = await startRegistry();
  await using harbour = await openHarbour();
  await pushImage(server.url, 'sea/ark', '1', index);
  const options = { platforms: [platform('amd64')], allMetadata: true, unpack: 'none' } as const;
  const { target } = await harbour.pulls.pull(call, `${server.host}/sea/ark:1`, options, quiet);
  assert.equal(harbour.bridge.content.find(call, arm64?.layers[0]?.digest ?? ''), undefined);
  const near = await copy(harbour, target, `${server.host}/sea/raft:1`);
  assert.equal(await harbour.pushes.push(call, near, {}, quiet), target.digest);
  const back = { image: near };
  assert.equal(await harbour.pushes.push(call, `${server.host}/sea/ark:2`, back, quiet), target.digest);
  assert.equal(server.log().match(/PUT \/v2\/sea\/raft\/blobs/), null);
  // Another registry has nothing to mount from, though its name without the port is the same.
  await using other = await startRegistry();
  const far = await copy(harbour, target, `${other.host}/sea/raft:1`);
  assert.equal(await harbour.pushes.push(call, far, {}, quiet), amd64?.target.digest);
});

test('what is missing is named; an index that a registry refuses comes with advice', { skip }, async () => {
  await using server = await startRegistry();
  await using harbour = await openHarbour();
  await pushImage(server.url, 'sea/ark', '1', index);
  const options = { platforms: [platform('amd64'), platform('arm64')], unpack: 'none' } as const;
  const { target } = await harbour.pulls.pull(call, `${server.host}/sea/ark:1`, options, quiet);
  await using other = await startRegistry();
  const far = await copy(harbour, target, `${other.host}/a:1`);
  await assert.rejects(harbour.pushes.push(call, far, {}, quiet), {
    code: 'invalid-argument',
    message: /MANIFEST_BLOB_UNKNOWN.*: it may lack what the index names: pull all platforms first, or push one$/,
  });
  await assert.rejects(harbour.pushes.push(call, far, { platforms: [platform('s390x')] }, quiet), {
    code: 'not-found',
    message: new RegExp(`^image "${far}": sha256:[0-9a-f]{64} is not here: pull the image again before pushing it$`),
  });
});
