import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { digestOf } from '#base/digest.ts';
import { codeOf } from '#base/errors.ts';
import { microsecondsOf, now } from '#base/moment.ts';
import type { BlobWriter, ContentStore, IngestId } from '../content.ts';

/** A store to test, empty at first. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: ContentStore;
  /** The store of a process that was killed and started again over the same disk. */
  restart(): Promise<ContentStore>;
}

const never = new AbortController().signal;
const id = (name: string): IngestId => name as IngestId;
const text = (data: string): Buffer => Buffer.from(data);

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Registers what every ContentStore must do. */
export function contentStoreSuite(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`${name} keeps the contract of a content store`, () => {
    let house: StoreUnderTest;
    let store: ContentStore;
    beforeEach(async () => {
      house = await make();
      store = house.store;
    });
    afterEach(() => house[Symbol.asyncDispose]());

    writing(() => store);
    resuming(() => house);
    refusing(() => store);
    keeping(() => store);
  });
}

async function put(
  store: ContentStore,
  data: Uint8Array,
  ingest = `put-${digestOf(data).slice(7, 19)}`,
): Promise<string> {
  await using writer = await store.writer(id(ingest), never);
  await writer.write(data, never);
  return await writer.commit({ size: data.length, digest: digestOf(data) }, never);
}

async function get(store: ContentStore, digest: string): Promise<Buffer> {
  await using blob = await store.open(digest, never);
  return Buffer.from(await blob.read(0, blob.size, never));
}

function writing(store: () => ContentStore): void {
  test('what is written in pieces of any size comes back, under its digest', async () => {
    const data = randomBytes(3_000_001);
    await using writer = await store().writer(id('pieces'), never);
    for (let at = 0, size = 1; at < data.length; at += size, size = (size * 7) % 400_003) {
      await writer.write(data.subarray(at, at + size), never);
      assert.equal(writer.offset, Math.min(data.length, at + size));
    }
    assert.equal(await writer.digest(never), digestOf(data));
    assert.equal(await writer.commit({}, never), digestOf(data));
    assert.ok((await get(store(), digestOf(data))).equals(data));
    assert.equal(await store().size(digestOf(data)), data.length);
    assert.equal(await store().ingest(id('pieces')), undefined);
  });

  test('the caller may reuse its buffer once a write has resolved', async () => {
    const buffer = Buffer.from('first');
    await using writer = await store().writer(id('reuse'), never);
    await writer.write(buffer, never);
    buffer.write('other');
    assert.equal(await writer.commit({}, never), digestOf('first'));
  });

  test('closing a writer while it commits waits for the commit', async () => {
    const writer = await store().writer(id('hasty'), never);
    await writer.write(text('in a hurry'), never);
    const [digest] = await Promise.all([writer.commit({}, never), writer.close()]);
    assert.equal(digest, digestOf('in a hurry'));
    assert.equal((await get(store(), digest)).toString(), 'in a hurry');
  });

  test('an empty blob is a blob', async () => {
    const digest = await put(store(), text(''));
    assert.equal(await store().size(digest), 0);
    assert.equal((await get(store(), digest)).length, 0);
  });

  test('a sha512 digest is kept as such', async () => {
    const digest = `sha512:${createHash('sha512').update('long').digest('hex')}`;
    await using writer = await store().writer(id('long'), never);
    await writer.write(text('long'), never);
    assert.equal(await writer.commit({ digest }, never), digest);
    assert.equal((await get(store(), digest)).toString(), 'long');
  });

  test('a range is read where it is asked for, and only as far as the blob goes', async () => {
    const digest = await put(store(), text('0123456789'));
    await using blob = await store().open(digest, never);
    assert.equal(Buffer.from(await blob.read(3, 4, never)).toString(), '3456');
    assert.equal(Buffer.from(await blob.read(8, 100, never)).toString(), '89');
    assert.equal((await blob.read(10, 5, never)).length, 0);
    assert.equal((await blob.read(100, 5, never)).length, 0);
  });

  test('many small blobs at once all arrive', async () => {
    const all = Array.from({ length: 60 }, (_, n) => text(`small blob ${n}`));
    const digests = await Promise.all(all.map((data) => put(store(), data)));
    assert.deepEqual(
      digests,
      all.map((data) => digestOf(data)),
    );
    assert.deepEqual((await collect(store().list(never))).map((blob) => blob.digest).toSorted(), digests.toSorted());
  });

  test('committing a blob that is there is a success and leaves no ingest', async () => {
    const digest = await put(store(), text('twice'), 'one');
    assert.equal(await put(store(), text('twice'), 'two'), digest);
    assert.equal(await store().ingest(id('two')), undefined);
    assert.equal((await get(store(), digest)).toString(), 'twice');
  });
}

/** False where a store can only begin anew, which it has to say. */
async function goesBack(writer: BlobWriter, size: number): Promise<boolean> {
  try {
    await writer.truncate(size, never);
    return true;
  } catch (error) {
    assert.equal(codeOf(error), 'unimplemented');
    return false;
  }
}

function resuming(house: () => StoreUnderTest): void {
  test('a closed upload goes on where it was, in the next writer and after a restart', async () => {
    const data = randomBytes(1_500_000);
    const first = await house().store.writer(id('long'), never);
    await first.write(data.subarray(0, 700_000), never);
    await first.close();
    await first.close();
    await assert.rejects(first.write(data, never), { code: 'failed-precondition' });

    const second = await house().store.writer(id('long'), never);
    assert.equal(second.offset, 700_000);
    await second.write(data.subarray(700_000, 1_000_000), never);
    await second.close();

    const store = await house().restart();
    assert.deepEqual(await collect(store.ingests(never)), ['long']);
    assert.equal((await store.ingest(id('long')))?.offset, 1_000_000);
    await using third = await store.writer(id('long'), never);
    assert.equal(third.offset, 1_000_000);
    assert.equal(await third.digest(never), digestOf(data.subarray(0, 1_000_000)));
    await third.write(data.subarray(1_000_000), never);
    assert.equal(await third.commit({ size: data.length, digest: digestOf(data) }, never), digestOf(data));
  });

  test('truncate() goes back to any earlier byte, or at least to the first', async () => {
    await using writer = await house().store.writer(id('cut'), never);
    await writer.write(text('wrong from here: xxxx'), never);
    if (await goesBack(writer, 16)) {
      assert.equal(writer.offset, 16);
      await writer.write(text(' right'), never);
      assert.equal(await writer.digest(never), digestOf('wrong from here: right'));
    }
    await writer.truncate(0, never);
    await writer.write(text('new'), never);
    assert.equal(await writer.commit({ digest: digestOf('new') }, never), digestOf('new'));
  });

  test('truncate() does not make an upload longer', async () => {
    await using writer = await house().store.writer(id('short'), never);
    await writer.write(text('abc'), never);
    await assert.rejects(writer.truncate(4, never), { code: 'out-of-range' });
  });

  test('an ingest shows its bytes and dates while it is written', async () => {
    assert.equal(await house().store.ingest(id('seen')), undefined);
    const before = Date.now() - 2000;
    await using writer = await house().store.writer(id('seen'), never);
    await writer.write(text('12345'), never);
    const seen = await house().store.ingest(id('seen'));
    assert.equal(seen?.offset, 5);
    assert.ok(seen.startedAt.getTime() > before && seen.updatedAt.getTime() >= seen.startedAt.getTime() - 1);
  });

  test('an upload that was left says when its last bytes came, not when they reached the disk', async () => {
    const writer = await house().store.writer(id('left'), never);
    const before = microsecondsOf(now());
    await writer.write(text('12345'), never);
    const after = microsecondsOf(now());
    await setTimeout(20);
    await writer.close();
    await (await house().store.writer(id('left'), never)).close();
    const left = await house().store.ingest(id('left'));
    assert.ok(left !== undefined);
    const at = microsecondsOf(left.updatedAt);
    assert.ok(before <= at && at <= after, `${before} <= ${at} <= ${after}`);
  });
}

function refusing(store: () => ContentStore): void {
  test('one upload has one writer at a time', async () => {
    const results = await Promise.allSettled([store().writer(id('mine'), never), store().writer(id('mine'), never)]);
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected'],
    );
    await assert.rejects(store().writer(id('mine'), never), { code: 'unavailable' });
    if (results[0].status === 'fulfilled') await results[0].value.close();
    await (await store().writer(id('mine'), never)).close();
  });

  test('a wrong size or digest is refused, and the ingest stays', async () => {
    await using writer = await store().writer(id('wrong'), never);
    await writer.write(text('what came'), never);
    await assert.rejects(writer.commit({ size: 4 }, never), {
      code: 'failed-precondition',
      message: /unexpected commit size 9, expected 4/,
    });
    await assert.rejects(writer.commit({ digest: digestOf('what was meant') }, never), {
      code: 'failed-precondition',
      message: /unexpected commit digest/,
    });
    assert.equal(await store().size(digestOf('what came')), undefined);
    assert.equal((await store().ingest(id('wrong')))?.offset, 9);
  });

  test('a missing blob is not-found, a bad digest is invalid', async () => {
    await assert.rejects(store().open(digestOf('never'), never), { code: 'not-found' });
    assert.equal(await store().size(digestOf('never')), undefined);
    await assert.rejects(store().open('sha256:../../../etc/passwd', never), { code: 'invalid-argument' });
    await assert.rejects(store().writer(id('../escape'), never), { code: 'invalid-argument' });
    await assert.rejects(store().writer(id('..'), never), { code: 'invalid-argument' });
  });

  test('a dead signal is honoured', async () => {
    const reason = new Error('gone');
    const dead = AbortSignal.abort(reason);
    await assert.rejects(store().open(digestOf('x'), dead), reason);
    await assert.rejects(store().writer(id('dead'), dead), reason);
    await using writer = await store().writer(id('alive'), never);
    await assert.rejects(writer.write(text('x'), dead), reason);
    assert.equal(writer.offset, 0);
  });
}

function keeping(store: () => ContentStore): void {
  test('remove() and abort() are idempotent', async () => {
    const digest = await put(store(), text('gone soon'));
    await store().remove(digest, never);
    await store().remove(digest, never);
    assert.equal(await store().size(digest), undefined);

    const writer = await store().writer(id('dropped'), never);
    await writer.write(text('bytes'), never);
    await store().abort(id('dropped'), never);
    await store().abort(id('dropped'), never);
    assert.equal(await store().ingest(id('dropped')), undefined);
    await assert.rejects(writer.commit({}, never), { code: 'failed-precondition' });
    await writer.close();
  });

  test('a blob that is open can be read to its end after its removal', async () => {
    const digest = await put(store(), text('still here'));
    await using blob = await store().open(digest, never);
    await store().remove(digest, never);
    assert.equal(Buffer.from(await blob.read(0, 100, never)).toString(), 'still here');
  });

  test('list() and ingests() show everything once', async () => {
    const one = await put(store(), text('one'));
    const two = await put(store(), text('two!'));
    await (await store().writer(id('open-1'), never)).close();
    await (await store().writer(id('open-2'), never)).close();
    const listed = (await collect(store().list(never))).toSorted((a, b) => a.size - b.size);
    assert.deepEqual(listed, [
      { digest: one, size: 3 },
      { digest: two, size: 4 },
    ]);
    assert.deepEqual((await collect(store().ingests(never))).toSorted(), ['open-1', 'open-2']);
  });
}
