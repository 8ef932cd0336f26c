import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, unlinkSync, write, writeSync } from 'node:fs';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { punch } from '#sys/fd.ts';
import { firstLocked } from '#sys/range-lock.ts';
import { StreamDriver } from './streams.ts';

const streams = new StreamDriver();
const never = new AbortController().signal;

async function scratch(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'hako-streams-'));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

async function textOf(data: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const chunk of data) text += Buffer.from(chunk).toString();
  return text;
}

test('what is written before a process opens its standard input waits for it', async () => {
  await using place = await scratch();
  const fifo = path.join(place.dir, 'io', 'stdin');
  await streams.createFifo(fifo);
  await streams.createFifo(fifo);
  const writer = streams.openWriter(fifo);
  await writer.write(Buffer.from('early'));
  const fd = openSync(fifo, 'r');
  writer.connected();
  await writer.write(Buffer.from(' late'));
  await writer.close();
  const buffer = Buffer.alloc(64);
  let text = '';
  for (;;) {
    const count = readSync(fd, buffer);
    if (count === 0) break;
    text += buffer.toString('utf8', 0, count);
  }
  closeSync(fd);
  assert.equal(text, 'early late');
});

test('a reader that came first ends with the last writer, not before the first', async () => {
  await using place = await scratch();
  const fifo = path.join(place.dir, 'stdout');
  await streams.createFifo(fifo);
  const reader = streams.openReader(fifo);
  const text = textOf(reader.data);
  const fd = openSync(fifo, 'w');
  reader.connected();
  writeSync(fd, 'hello');
  closeSync(fd);
  assert.equal(await text, 'hello');
});

test('a reader that lost interest reads on, so that the writer is neither stopped nor killed', async () => {
  await using place = await scratch();
  const fifo = path.join(place.dir, 'stdout');
  await streams.createFifo(fifo);
  const reader = streams.openReader(fifo);
  const fd = openSync(fifo, 'a');
  reader.connected();
  writeSync(fd, 'first');
  for await (const chunk of reader.data) {
    assert.equal(Buffer.from(chunk).toString(), 'first');
    break;
  }
  reader.discard();
  // More than a pipe holds: without a reader this would never come back.
  await new Promise<void>((resolve, reject) =>
    write(fd, Buffer.alloc(1 << 20), (error) => (error === null ? resolve() : reject(error))),
  );
  closeSync(fd);
  reader.close();
});

test('closing a reader ends its data', async () => {
  await using place = await scratch();
  const fifo = path.join(place.dir, 'stdout');
  await streams.createFifo(fifo);
  const reader = streams.openReader(fifo);
  const text = textOf(reader.data);
  reader.close();
  assert.equal(await text, '');
});

test('writing to a process that is gone fails instead of waiting', async () => {
  await using place = await scratch();
  const fifo = path.join(place.dir, 'stdin');
  await streams.createFifo(fifo);
  const writer = streams.openWriter(fifo);
  const fd = openSync(fifo, 'r');
  writer.connected();
  closeSync(fd);
  await assert.rejects(writer.write(Buffer.from('x')), { code: 'failed-precondition' });
  await writer.close();
});

test('following gives what is appended, also after the file was removed, and ends when told', async () => {
  await using place = await scratch();
  const file = path.join(place.dir, 'spool');
  await writeFile(file, 'one ');
  const finished = Promise.withResolvers<void>();
  const text = textOf(await streams.follow(file, 0, finished.promise, never));
  await appendFile(file, 'two ');
  const fd = openSync(file, 'a');
  unlinkSync(file);
  writeSync(fd, 'three');
  closeSync(fd);
  finished.resolve();
  assert.equal(await text, 'one two three');
});

test('following from the end leaves out what was there', async () => {
  await using place = await scratch();
  const file = path.join(place.dir, 'spool');
  await writeFile(file, 'old');
  const finished = Promise.withResolvers<void>();
  const text = textOf(await streams.follow(file, 'end', finished.promise, never));
  await appendFile(file, 'new');
  finished.resolve();
  assert.equal(await text, 'new');
});

test('a file that comes later is followed from its beginning', async () => {
  await using place = await scratch();
  const file = path.join(place.dir, 'late');
  const finished = Promise.withResolvers<void>();
  const text = textOf(await streams.follow(file, 0, finished.promise, never));
  await writeFile(file, 'here');
  finished.resolve();
  assert.equal(await text, 'here');
});

test('following a spool begins where data begins, and lets go of what was read', async () => {
  await using place = await scratch();
  const file = path.join(place.dir, 'spool');
  await writeFile(file, Buffer.alloc(1 << 20, 'x'));
  const writer = openSync(file, 'r+');
  const size = 1 << 20;
  punch(writer, size / 2);
  const finished = Promise.withResolvers<void>();
  const data = (await streams.followSpool(file, 0, finished.promise, never))[Symbol.asyncIterator]();
  // Nothing was asked for yet, and what is there is held already.
  assert.equal(firstLocked(writer, 0, size), size / 2);
  let text = '';
  for (; text.length < size / 2; text += Buffer.from((await data.next()).value as Uint8Array).toString());
  assert.match(text, /^x+$/);
  await appendFile(file, 'more');
  assert.equal(Buffer.from((await data.next()).value as Uint8Array).toString(), 'more');
  finished.resolve();
  assert.equal((await data.next()).done, true);
  assert.equal(firstLocked(writer, 0, size + 4), size + 4);
  closeSync(writer);
});

test('a reader of a spool holds what it has not read, up to its signal, also when it never began', async () => {
  await using place = await scratch();
  const file = path.join(place.dir, 'spool');
  await writeFile(file, Buffer.alloc(1 << 20, 'x'));
  const writer = openSync(file, 'r+');
  const held = (): number => firstLocked(writer, 0, 1 << 20);
  const [begun, idle] = [new AbortController(), new AbortController()];
  const pending = new Promise<void>(() => {});
  const data = (await streams.followSpool(file, 0, pending, begun.signal))[Symbol.asyncIterator]();
  for (let read = 0; read < 5; read += 1) await data.next();
  assert(held() > 0 && held() <= 5 * 65_536, String(held()));
  await streams.followSpool(file, 0, pending, idle.signal);
  assert.equal(held(), 0);
  idle.abort();
  while (held() === 0) await sleep(1);
  assert(held() < 1 << 20);
  begun.abort();
  while (held() < 1 << 20) await sleep(1);
  closeSync(writer);
});

test('followers of what stays hold nothing', async () => {
  await using place = await scratch();
  const file = path.join(place.dir, 'log');
  await writeFile(file, 'one');
  const writer = openSync(file, 'r+');
  const text = textOf(await streams.follow(file, 0, Promise.resolve(), never));
  assert.equal(firstLocked(writer, 0, 3), 3);
  assert.equal(await text, 'one');
  closeSync(writer);
});
