// A bad certificate, a full disk, a wrong configuration: one clear line, and nothing half-made.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { house } from '../scripts/lib/house.mjs';
import { startDaemon } from '../scripts/lib/daemon.mjs';
import { openHarbour } from './support/daemon.ts';
import { eventually, output, refusal } from './support/expect.ts';
import { Guests } from './support/guests.ts';
import { busyboxImage, pushImage } from './support/images.ts';
import { noContainers, which } from './support/machine.ts';
import { startRegistry } from './support/registry.ts';

describe('hardship', { skip: noContainers('docker') }, () => {
  test(
    'a registry with a certificate that nobody vouches for is refused, and named',
    { skip: which('openssl') === undefined && 'the program "openssl" is missing' },
    async () => {
      await using undo = new AsyncDisposableStack();
      const registry = undo.use(await startRegistry({ tls: true }));
      await pushImage(registry.url, 'busybox', 'latest', busyboxImage(), { ca: registry.ca ?? '' });
      const { guests } = await openHarbour(undo);
      refusal(
        await guests.docker(['pull', `${registry.host}/busybox:latest`]),
        new RegExp(`${registry.host}.*certificate`),
      );
      assert.equal(output(await guests.docker(['images', '-q'])), '');
    },
  );

  test('a disk that fills in the middle of a pull leaves no image and no bytes', async () => {
    await using undo = new AsyncDisposableStack();
    const registry = undo.use(await startRegistry());
    const ballast = [{ name: 'ballast', data: Buffer.alloc(48 * 1024 * 1024, 'x'.repeat(997)) }];
    await pushImage(registry.url, 'heavy', 'latest', busyboxImage({ extraLayers: [ballast] }));
    const dir = mkdtempSync(join(tmpdir(), 'hd-'));
    mkdirSync(join(dir, 'root'));
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', join(dir, 'root')]).status, 0);
    // The daemon's end would take an unexpected mount for something left behind.
    const daemon = await startDaemon({ dir });
    undo.defer(async () => {
      await daemon.stop();
      spawnSync('umount', ['-l', join(dir, 'root')]);
      assert.deepEqual(await daemon.end(), []);
    });
    const guests = new Guests(daemon);
    refusal(await guests.docker(['pull', `${registry.host}/heavy:latest`]), /no space left|ENOSPC|disk is full/i);
    assert.equal(output(await guests.docker(['images', '-q'])), '');
    await eventually(() => {
      assert.deepEqual(readdirSync(join(dir, 'root/content/ingest')), []);
      assert.deepEqual(readdirSync(join(dir, 'root/snapshots/overlayfs')), []);
    });
  });

  test('a second daemon on the same root is refused', async () => {
    await using undo = new AsyncDisposableStack();
    const { daemon } = await openHarbour(undo);
    const args = ['--root', daemon.root, '--state', join(daemon.dir, 'other')];
    const second = spawnSync(join(house, 'bin/hakod'), args, { encoding: 'utf8', timeout: 30_000 });
    assert.equal(second.status, 1);
    assert.match(second.stderr, new RegExp(`another hakod \\(pid ${daemon.pid}\\)`));
  });

  test('a configuration with a typo is warned about, one with a wrong value refused', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'hd-'));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    await assert.rejects(
      startDaemon({ dir, config: 'version = 3\n[grpc]\nuid = "me"\n' }),
      /config\.toml: grpc\.uid is "me": must be a whole number/,
    );
    const daemon = await startDaemon({ dir, config: 'version = 3\n[grpc]\nadress = "/x"\n' });
    const log = daemon.log();
    assert.deepEqual(await daemon.end(), []);
    assert.match(log, /unknown key grpc\.adress is ignored: did you mean \\"address\\"\?/);
  });
});
