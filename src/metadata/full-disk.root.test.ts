import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ledger } from './ledger.ts';

test('a ledger on a disk that is full can still forget, and goes on when it has been opened again', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'hako-full-'));
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', home]).status, 0);
  t.after(() => {
    spawnSync('umount', ['-l', home]);
    rmSync(home, { recursive: true });
  });
  const path = join(home, 'ledger.db');
  // A second opening finds a database that was closed in good order, without a log.
  await new Ledger({ path }).close();
  const ledger = new Ledger({ path });
  for (let index = 0; index < 50; index++) ledger.settings.set(`key-${index}`, 'x'.repeat(500));
  await ledger.durable();
  assert.throws(() => writeFileSync(join(home, 'ballast'), Buffer.alloc(32 * 1024 * 1024)), { code: 'ENOSPC' });
  for (let index = 0; index < 50; index++) ledger.transaction(() => ledger.settings.delete(`key-${index}`));
  await ledger.durable();
  assert.ok(statSync(join(home, 'ballast')).size > 0, 'the disk was full all the time');
  await ledger.close();

  const again = new Ledger({ path });
  assert.equal(again.settings.get('key-1'), undefined);
  await again.close();
});
