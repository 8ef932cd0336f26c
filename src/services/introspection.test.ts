import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Introspection } from './introspection.ts';

test('an installation keeps its uuid, and makes a new one when a kill left half of it', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'hako-introspection-'));
  t.after(() => rm(root, { recursive: true }));
  const parts = { root, plugins: [], version: 'v1', revision: 'r' };
  const first = new Introspection(parts).server();
  assert.deepEqual(new Introspection(parts).server(), first);
  assert.equal(first.pid, process.pid);
  assert.ok(first.pidns > 0);
  await writeFile(join(root, 'uuid'), first.uuid.slice(0, 7));
  assert.notEqual(new Introspection(parts).server().uuid, first.uuid);
});
