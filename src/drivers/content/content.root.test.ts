import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { IngestId } from '#core/content.ts';
import { mountAt, unmountAll } from '#sys/mount.ts';
import { FileContentStore } from './content.ts';

const never = new AbortController().signal;

test('a full disk is resource-exhausted, names the file system, and the upload goes on once there is space', async () => {
  const root = await mkdtemp(path.join(os.tmpdir(), 'hako-full-'));
  mountAt({ type: 'tmpfs', source: 'tmpfs', options: ['size=2m'] }, root);
  try {
    using store = await FileContentStore.start(root);
    const ballast = await store.writer('ballast' as IngestId, never);
    await ballast.write(randomBytes(1_000_000), never);
    await ballast.close();

    const data = randomBytes(2_000_000);
    const writer = await store.writer('big' as IngestId, never);
    await assert.rejects(
      (async () => {
        await writer.write(data, never);
        await writer.commit({}, never);
      })(),
      (error: Error & { code?: string }) =>
        error.code === 'resource-exhausted' &&
        error.message.includes(`"${root}" (tmpfs`) &&
        /free some space/.test(error.message),
    );
    await writer.close();
    const kept = (await stat(path.join(root, 'ingest/big/data'))).size;
    assert.equal((await store.ingest('big' as IngestId))?.offset, kept);

    await store.abort('ballast' as IngestId, never);
    await using again = await store.writer('big' as IngestId, never);
    assert.equal(again.offset, kept);
    await again.write(data.subarray(kept, 1_500_000), never);
    await again.commit({ size: 1_500_000 }, never);
  } finally {
    unmountAll(root);
    await rm(root, { recursive: true, force: true });
  }
});
