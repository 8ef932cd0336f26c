import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Durability } from './durability.ts';
import { Sqlite } from './sqlite.ts';

test('a sync under way is not shared, since it may have begun before the commit; the one after it is', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'hako-durability-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'ledger.db');
  const db = new Sqlite(path);
  t.after(() => db.close());
  db.get('PRAGMA journal_mode = WAL');
  db.script('CREATE TABLE t (a)');
  const durability = new Durability(path);
  t.after(() => durability.close());
  const order: string[] = [];
  const first = durability.sync(1);
  assert.equal(durability.sync(1), first, 'nothing was committed since');
  const second = durability.sync(2);
  const third = durability.sync(3);
  assert.notEqual(first, second);
  assert.equal(second, third);
  await Promise.all([first.then(() => order.push('first')), second.then(() => order.push('second'))]);
  assert.deepEqual(order, ['first', 'second']);
  await durability.sync(3);
});

test('a log that cannot be synced is an error to everybody who waits, and the next sync may succeed', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'hako-durability-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'ledger.db');
  const durability = new Durability(path);
  t.after(() => durability.close());
  const results = await Promise.allSettled([durability.sync(0), durability.sync(0)]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  const db = new Sqlite(path);
  t.after(() => db.close());
  db.get('PRAGMA journal_mode = WAL');
  db.script('CREATE TABLE t (a)');
  await durability.sync(0);
});
