import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Ledger } from './ledger.ts';
import { Sqlite } from './sqlite.ts';

async function temporaryPath(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hako-ledger-'));
  t.after(() => rm(directory, { recursive: true }));
  return join(directory, 'ledger.db');
}

test('what was written is there when the ledger is opened again', async (t) => {
  const path = await temporaryPath(t);
  const first = new Ledger({ path });
  first.namespaces.put({ name: 'a', labels: { colour: 'blue', gone: '' } });
  await first.durable();
  await first.close();
  const second = new Ledger({ path });
  t.after(() => second.close());
  assert.deepEqual(second.namespaces.list(), [{ name: 'a', labels: { colour: 'blue' } }]);
});

test('a transaction that throws leaves nothing behind, nor do transactions inside it', () => {
  const ledger = new Ledger({ path: ':memory:' });
  assert.throws(
    () =>
      ledger.transaction(() => {
        ledger.transaction(() => ledger.namespaces.ensure('a'));
        throw new Error('no');
      }),
    /no/,
  );
  assert.deepEqual(ledger.namespaces.list(), []);
  ledger.transaction(() => ledger.namespaces.ensure('b'));
  assert.equal(ledger.namespaces.list().length, 1);
});

test('a ledger that a newer release has written is refused with both versions named', async (t) => {
  const path = await temporaryPath(t);
  await new Ledger({ path }).close();
  const db = new Sqlite(path);
  db.run('INSERT INTO migrations (version, applied_at) VALUES (999, 0)');
  db.close();
  assert.throws(() => new Ledger({ path }), { code: 'failed-precondition', message: /schema version 999.*up to \d+:/ });
});

test('a file that is no database is refused as damaged', async (t) => {
  const path = await temporaryPath(t);
  await writeFile(path, 'not a database, but long enough to look at'.repeat(100));
  assert.throws(() => new Ledger({ path }), { code: 'data-loss', message: /not a database/ });
});

test('many who wait for the disk at once are all answered, and so are those who come while it syncs', async (t) => {
  const path = await temporaryPath(t);
  const ledger = new Ledger({ path });
  t.after(() => ledger.close());
  const waits: Promise<void>[] = [];
  for (let round = 0; round < 20; round += 1) {
    for (let each = 0; each < 10; each += 1) {
      ledger.settings.set(`key ${round}-${each}`, 'value');
      waits.push(ledger.durable());
    }
    await new Promise(setImmediate);
  }
  await Promise.all(waits);
  assert.equal(ledger.settings.list('key ').size, 200);
  await ledger.durable();
});

test('the log is written back when it has grown, and nothing is lost by that', async (t) => {
  const path = await temporaryPath(t);
  const ledger = new Ledger({ path });
  const long = 'x'.repeat(100_000);
  for (let each = 0; each < 100; each += 1) {
    ledger.settings.set(`key ${each}`, long);
    if (each % 10 === 0) await ledger.durable();
  }
  await ledger.durable();
  await ledger.close();
  const again = new Ledger({ path, durable: false });
  t.after(() => again.close());
  assert.equal(again.settings.list('key ').size, 100);
});

test('durable() of a closed ledger does not hang', async (t) => {
  const ledger = new Ledger({ path: await temporaryPath(t) });
  ledger.settings.set('a', 'b');
  const [answer] = await Promise.allSettled([ledger.durable(), ledger.close()]);
  if (answer.status === 'rejected') assert.match(String(answer.reason), /closed/);
});

test('ids of trees and uploads are never given twice, even when a counter was lost', () => {
  const ledger = new Ledger({ path: ':memory:' });
  const tree = (key: string): string =>
    ledger.snapshots.insert({ namespace: 'a', snapshotter: 's', key, kind: 'active', parent: undefined, labels: {} });
  ledger.snapshots.skip(41);
  const first = tree('x');
  assert.equal(first, '42');
  ledger.snapshots.delete(first as never);
  assert.equal(tree('y'), '43');
  ledger.snapshots.skip(7);
  assert.equal(tree('z'), '44');
});

test('ancestors of a tree are given nearest first', () => {
  const { snapshots } = new Ledger({ path: ':memory:' });
  let parent: ReturnType<typeof snapshots.insert> | undefined;
  for (const key of ['a', 'b', 'c']) {
    parent = snapshots.insert({ namespace: 'n', snapshotter: 's', key, kind: 'active', parent, labels: {} });
  }
  assert.deepEqual(snapshots.ancestors(parent ?? assert.fail()), ['2', '1']);
});
