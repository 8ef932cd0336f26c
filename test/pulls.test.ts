// Pulls that are killed or doubled, by real clients: what a registry of our own sends is counted.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openHarbour, type Harbour } from './support/daemon.ts';
import { eventually, output } from './support/expect.ts';
import type { Outcome } from './support/guests.ts';
import { makeImage, type MadeImage } from './support/images.ts';
import { noContainers } from './support/machine.ts';
import { SlowRegistry } from './support/slow-registry.ts';

const mebibyte = 1024 * 1024;
/** Noise does not shrink, so a layer's blob is as large as its file. */
const makeNoise = (layerSize = 3 * mebibyte): MadeImage =>
  makeImage({ layers: ['a', 'b', 'c'].map((name) => [{ name, data: randomBytes(layerSize) }]) });
const weigh = (image: MadeImage): number => [...image.blobs.values()].reduce((sum, blob) => sum + blob.length, 0);
/** What lies in buffers, the kernel's above all, when a pull with three connections dies on a busy machine. */
const inFlight = 3 * 1.5 * mebibyte;

describe('pulls', { skip: noContainers('ctr', 'docker') }, () => {
  let harbour: Harbour;
  const ctr = (args: string): Promise<Outcome> => harbour.guests.ctr(args.split(' '));
  const lines = async (args: string): Promise<string[]> =>
    output(await ctr(args))
      .split('\n')
      .filter((line) => line !== '');

  const undo = new AsyncDisposableStack();
  after(() => undo.disposeAsync());
  before(async () => {
    harbour = await openHarbour(undo);
  });

  /** Every blob of the image is in the namespace, with the bytes that its digest names, and no lease or half is left. */
  async function assertWhole(namespace: string, image: MadeImage): Promise<void> {
    const file = join(harbour.daemon.dir, 'blob');
    for (const digest of [...image.blobs.keys(), image.target.digest]) {
      const args = ['-n', namespace, 'content', 'get', digest];
      assert.equal((await harbour.guests.ctr(args, { outputFile: file })).code, 0, digest);
      assert.equal(`sha256:${createHash('sha256').update(readFileSync(file)).digest('hex')}`, digest);
    }
    const leases = async (): Promise<string[]> =>
      (await lines(`-n ${namespace} leases ls`)).filter((line) => line.includes('hakobune.io/pull'));
    await eventually(async () => assert.deepEqual(await leases(), []));
    assert.deepEqual((await lines(`-n ${namespace} content active`)).slice(1), []);
  }

  /** Every blob went out once, from its first byte to its last. */
  function assertOnce(registry: SlowRegistry, image: MadeImage): void {
    for (const [digest, blob] of image.blobs) {
      const asked = registry.asked.filter((one) => one.digest === digest);
      assert.deepEqual(asked, [{ digest, kind: 'blobs', start: 0, sent: blob.length }]);
    }
  }

  /** At most what was lost with a connection went out twice. */
  function assertResumed(registry: SlowRegistry, image: MadeImage, lost = inFlight): void {
    const [sent, size] = [registry.sent, weigh(image)];
    assert.ok(sent >= size && sent <= size + lost, `${sent} bytes were sent of an image of ${size}`);
  }

  for (const part of [0.1, 0.5, 0.9]) {
    test(`a pull whose daemon is killed after ${part * 100} % of the bytes goes on from there`, async () => {
      const image = makeNoise(6 * mebibyte);
      await using registry = await new SlowRegistry(image).start();
      const name = `${registry.host}/killed:${part * 100}`;
      const first = harbour.guests.start('docker', ['pull', name]);
      await registry.reaches(weigh(image) * part);
      await harbour.daemon.kill();
      assert.notEqual((await first.outcome).code, 0);
      await harbour.daemon.start();
      assert.deepEqual(await lines('-n default snapshots ls'), ['KEY PARENT KIND ']);
      output(await harbour.guests.docker(['pull', name]));
      assertResumed(registry, image);
      await assertWhole('default', image);
      output(await harbour.guests.docker(['rmi', name]));
    });
  }

  test('a pull whose client is killed, and then its registry, goes on from there', async () => {
    const image = makeNoise(6 * mebibyte);
    await using registry = await new SlowRegistry(image).start();
    const name = `${registry.host}/left:1`;
    const first = harbour.guests.start('docker', ['pull', name]);
    await registry.reaches(weigh(image) * 0.3);
    first.child.kill('SIGKILL');
    await first.outcome;
    const second = harbour.guests.start('docker', ['pull', name]);
    await registry.reaches(weigh(image) * 0.6);
    await registry.stop();
    const { code, stderr } = await second.outcome;
    assert.notEqual(code, 0);
    assert.match(stderr, /connection (refused|was cut)/);
    const [lease] = (await lines('leases ls')).slice(1);
    assert.match(lease ?? '', /containerd\.io\/gc\.expire=.*hakobune\.io\/pull=127\.0\.0\.1:\d+\/left:1/);
    await registry.start();
    output(await harbour.guests.docker(['pull', name]));
    assertResumed(registry, image, 2 * inFlight);
    await assertWhole('default', image);
  });

  test('a ctr that is killed goes on where it was, and so does a daemon under it', async () => {
    const image = makeNoise(10 * mebibyte);
    await using registry = await new SlowRegistry(image).start();
    const name = `${registry.host}/ctr:1`;
    const pull = ['images', 'pull', '--plain-http', name];
    const first = harbour.guests.start('ctr', pull);
    await registry.reaches(weigh(image) * 0.3);
    first.child.kill('SIGKILL');
    await first.outcome;
    const second = harbour.guests.start('ctr', pull);
    await registry.reaches(weigh(image) * 0.6);
    await harbour.daemon.kill();
    assert.notEqual((await second.outcome).code, 0);
    await harbour.daemon.start();
    const before = registry.asked.length;
    output(await harbour.guests.ctr(pull));
    const again = registry.asked.slice(before).filter(({ kind }) => kind === 'blobs');
    assert.ok(
      again.some(({ start }) => start >= mebibyte),
      JSON.stringify(again),
    );
    // ctr sends on whole mebibytes: what it had not sent died with it, each time.
    assertResumed(registry, image, 2 * (inFlight + 3 * mebibyte));
  });

  const doubles: readonly (readonly [one: string, other: string])[] = [
    ['docker', 'docker'],
    ['docker', 'ctr'],
    ['ctr', 'ctr'],
    ['docker', 'ctr -n away'],
    ['ctr', 'ctr -n away'],
  ];
  for (const pair of doubles) {
    test(`${pair.join(' and ')} that pull the same image at once fetch each blob once`, async () => {
      const image = makeNoise();
      await using registry = await new SlowRegistry(image).start();
      const name = `${registry.host}/double:1`;
      const outcomes = pair.map((guest) => {
        const [program, ...flags] = guest.split(' ');
        return program === 'docker'
          ? harbour.guests.docker(['pull', name])
          : harbour.guests.ctr([...flags, 'images', 'pull', '--plain-http', name]);
      });
      for (const outcome of outcomes) output(await outcome);
      assertOnce(registry, image);
      for (const namespace of new Set(pair.map((guest) => (guest.includes('away') ? 'away' : 'default'))))
        await assertWhole(namespace, image);
    });
  }
});
