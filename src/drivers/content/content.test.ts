import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { digestOf } from '#base/digest.ts';
import type { IngestId } from '#core/content.ts';
import { contentStoreSuite } from '#core/suites/content-store.ts';
import { FileContentStore } from './content.ts';

const never = new AbortController().signal;
const id = (name: string): IngestId => name as IngestId;

async function house() {
  const root = await mkdtemp(path.join(os.tmpdir(), 'hako-content-'));
  const opened: FileContentStore[] = [];
  const open = async (): Promise<FileContentStore> => {
    const store = await FileContentStore.start(root);
    opened.push(store);
    return store;
  };
  return {
    root,
    store: await open(),
    restart: open,
    [Symbol.asyncDispose]: async () => {
      for (const store of opened) store[Symbol.dispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

contentStoreSuite('FileContentStore', house);

test('what a killed daemon wrote is hashed anew and goes on', async () => {
  await using place = await house();
  const directory = path.join(place.root, 'ingest/7');
  await (await place.store.writer(id('7'), never)).close();
  await writeFile(path.join(directory, 'data'), 'half a ');
  await using writer = await place.store.writer(id('7'), never);
  assert.equal(writer.offset, 7);
  await writer.write(Buffer.from('blob'), never);
  await writer.commit({ digest: digestOf('half a blob') }, never);
  assert.deepEqual(await readdir(path.join(place.root, 'ingest')), []);
});

test('a directory of an upload that was killed between rename and clean-up starts again at nothing', async () => {
  await using place = await house();
  const writer = await place.store.writer(id('8'), never);
  await writer.close();
  await rm(path.join(place.root, 'ingest/8/data'));
  assert.equal(await place.store.ingest(id('8')), undefined);
  await using again = await place.store.writer(id('8'), never);
  assert.equal(again.offset, 0);
});

test('a blob is read-only, and one that was damaged is replaced by the next commit', async () => {
  await using place = await house();
  const data = 'precious';
  const put = async (): Promise<void> => {
    await using writer = await place.store.writer(id('9'), never);
    await writer.write(Buffer.from(data), never);
    await writer.commit({ digest: digestOf(data) }, never);
  };
  await put();
  const file = path.join(place.root, 'blobs/sha256', digestOf(data).slice(7));
  assert.equal((await stat(file)).mode & 0o777, 0o444);
  await rm(file);
  await writeFile(file, 'damaged!');
  await put();
  await using blob = await place.store.open(digestOf(data), never);
  assert.equal(Buffer.from(await blob.read(0, 8, never)).toString(), data);
});

test('the threads of an idle store do not keep the process alive, and an upload survives their end as bytes on disk', async () => {
  await using place = await house();
  const writer = await place.store.writer(id('10'), never);
  await writer.write(Buffer.from('kept'), never);
  await writer.digest(never);
  place.store[Symbol.dispose]();
  await assert.rejects(writer.commit({}, never), { code: 'internal' });
  await writer.close();
  await using again = await place.store.writer(id('10'), never);
  assert.equal(again.offset, 4);
});
