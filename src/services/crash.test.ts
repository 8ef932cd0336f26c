import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { call, openBridge, type Bridge } from '../../test/support/bridge.ts';

const child = fileURLToPath(new URL('../../test/support/crash-child.ts', import.meta.url));

/** Starts a bridge in a process of its own, kills it with SIGKILL at `point`, and starts another on what is left. */
async function killedAt(t: TestContext, point: string): Promise<Bridge> {
  const root = await mkdtemp(join(tmpdir(), 'hako-crash-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const daemon = spawn(process.execPath, [child, root, point], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(daemon, 'exit');
  const [said] = (await Promise.race([once(daemon.stdout, 'data'), ended])) as [unknown];
  daemon.kill('SIGKILL');
  await ended;
  assert.equal(String(said), 'here\n');
  const bridge = await openBridge({ root });
  t.after(() => bridge[Symbol.asyncDispose]());
  await bridge.gc.boot(call.signal);
  return bridge;
}

const trees = (bridge: Bridge): string[] =>
  [...bridge.snapshots.list(call, '', [])].map(({ name, kind }) => `${name} ${kind}`);
const onDisk = async (bridge: Bridge): Promise<string[]> => (await Array.fromAsync(bridge.driver.list())).toSorted();

test('killed while a tree is made: neither row nor tree is left, and the key is free', async (t) => {
  const bridge = await killedAt(t, 'create');
  assert.deepEqual(trees(bridge), ['base committed']);
  assert.deepEqual(bridge.ledger.snapshots.all().length, 1);
  assert.deepEqual(await onDisk(bridge), ['1']);
  await bridge.snapshots.prepare(call, '', 'work', 'base', {});
  assert.deepEqual(await onDisk(bridge), ['1', '3']);
});

test('killed while a tree is sealed: it is active still and can be committed', async (t) => {
  const bridge = await killedAt(t, 'seal');
  assert.deepEqual(trees(bridge), ['base committed', 'work active']);
  await bridge.snapshots.commit(call, '', 'top', 'work', {});
  assert.deepEqual(trees(bridge), ['base committed', 'top committed']);
});

test('killed between the end of a row and that of its tree: the tree is gone after the next start', async (t) => {
  const bridge = await killedAt(t, 'remove');
  assert.deepEqual(trees(bridge), ['base committed']);
  assert.deepEqual(await onDisk(bridge), ['1']);
});

test('killed between a blob and its row: the blob is gone, and uploading it again works', async (t) => {
  const bridge = await killedAt(t, 'commit');
  assert.deepEqual(await Array.fromAsync(bridge.store.list(call.signal)), []);
  await using writer = await bridge.content.writer(call, { ref: 'upload-never named' });
  await writer.write(Buffer.from('never named'));
  assert.equal([...(await writer.commit({}), bridge.content.list(call, []))].length, 1);
});

test('killed in the middle of an upload: the next writer goes on where it ended', async (t) => {
  const bridge = await killedAt(t, 'write');
  await using writer = await bridge.content.writer(call, { ref: 'half' });
  assert.equal(writer.status().offset, 'half of it'.length);
});
