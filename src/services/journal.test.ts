import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Event, EventCodec } from '#core/events.ts';
import { Ledger } from '#metadata/ledger.ts';
import { Journal, type JournalEntry, type JournalParts } from './journal.ts';

/** Payloads are their own bytes. */
const codec: EventCodec = {
  encode: (payload) =>
    payload.kind === 'any'
      ? payload.any
      : { typeUrl: payload.type, value: Buffer.from(JSON.stringify(payload.fields)) },
  field: () => undefined,
};

const event = (topic: string, bytes = 1): Event => ({
  timestamp: new Date(1000),
  nanos: 7,
  namespace: 'default',
  topic,
  payload: { kind: 'any', any: { typeUrl: 'x', value: new Uint8Array(bytes) } },
});

function open(t: TestContext, options: Partial<JournalParts> = {}): { journal: Journal; ledger: Ledger } {
  const ledger = options.ledger ?? new Ledger({ path: ':memory:' });
  const journal = new Journal({ codec, maxAge: 60_000, maxBytes: 1e6, bootId: 'a', ...options, ledger });
  t.after(() => journal.close());
  return { journal, ledger };
}

const forever = new AbortController().signal;
const read = (journal: Journal, since = '', filters: string[] = []): Promise<JournalEntry[]> =>
  Array.fromAsync(journal.read({ since, follow: false, filters }, forever));
const topics = (entries: JournalEntry[]): string[] => entries.map((entry) => entry.event.topic);

test('what was published is read again, in order, also by another run over the same ledger', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'hako-journal-'));
  t.after(() => rm(root, { recursive: true }));
  const path = join(root, 'ledger.db');
  const first = new Ledger({ path, durable: false });
  const before = open(t, { ledger: first }).journal;
  for (const topic of ['/a', '/b', '/c']) before.append(event(topic));
  const [, second] = await read(before);
  await first.close();

  const again = new Ledger({ path, durable: false });
  t.after(() => again.close());
  const { journal } = open(t, { ledger: again });
  journal.append(event('/d'));
  const entries = await read(journal);
  assert.deepEqual(topics(entries), ['/a', '/b', '/c', '/d']);
  assert.deepEqual(entries[0]?.event.timestamp, new Date(1000));
  assert.equal(entries[0]?.event.nanos, 7);
  assert.deepEqual(topics(await read(journal, second?.cursor)), ['/c', '/d']);
  assert.deepEqual(topics(await read(journal, 'now')), []);
  assert.deepEqual(topics(await read(journal, '', ['topic=="/c"', 'topic~="^/d$"'])), ['/c', '/d']);
});

test('one who follows gets what is kept and what comes, without a gap or a double', async (t) => {
  const { journal } = open(t);
  const stop = new AbortController();
  const total = 3000;
  for (let at = 0; at < 600; at++) journal.append(event(`/n${at}`));
  const heard: string[] = [];
  const reading = (async () => {
    for await (const entry of journal.read({ since: '', follow: true, filters: [] }, stop.signal)) {
      heard.push(entry.event.topic);
      if (heard.length === total) stop.abort();
    }
  })();
  for (let at = 600; at < total; at++) {
    journal.append(event(`/n${at}`));
    if (at % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await reading;
  assert.deepEqual(
    heard,
    Array.from({ length: total }, (_, at) => `/n${at}`),
  );
});

test('an event of a transaction that is rolled back was never kept', async (t) => {
  const { journal, ledger } = open(t);
  assert.throws(() =>
    ledger.transaction(() => {
      journal.append(event('/never'));
      throw new Error('no');
    }),
  );
  ledger.transaction(() => journal.append(event('/kept')));
  assert.deepEqual(topics(await read(journal)), ['/kept']);
});

test('size and age bound it, and a cursor before what is kept is told so', async (t) => {
  const { journal, ledger } = open(t, { maxBytes: 10_000 });
  for (let at = 0; at < 100; at++) journal.append(event(`/n${at}`, 1000));
  const [oldest] = await read(journal);
  await journal.cut();
  const state = journal.state();
  assert.ok(state.entries >= 8 && state.entries <= 11, String(state.entries));
  assert.ok(state.bytes > 8000 && state.bytes <= 11_100, String(state.bytes));
  const kept = await read(journal);
  assert.equal(kept.length, state.entries);
  assert.equal(kept[0]?.cursor, state.oldest);
  assert.equal(kept.at(-1)?.event.topic, '/n99');
  assert.throws(() => journal.read({ since: oldest?.cursor ?? '', follow: false, filters: [] }, forever), {
    code: 'out-of-range',
    message: new RegExp(state.oldest ?? 'none'),
  });

  const old = new Journal({ ledger, codec, maxAge: -1, maxBytes: 1e6, bootId: 'a' });
  t.after(() => old.close());
  await old.cut();
  assert.deepEqual(old.state(), { entries: 0, bytes: 0 });
  assert.deepEqual(await read(old), []);
  old.append(event('/next'));
  assert.deepEqual(topics(await read(old, kept.at(-1)?.cursor)), ['/next']);
});

test('one who follows too slowly is told that it missed something', async (t) => {
  const { journal } = open(t, { maxBytes: 1000 });
  for (let at = 0; at < 600; at++) journal.append(event(`/n${at}`));
  const reading = journal.read({ since: '', follow: true, filters: [] }, forever)[Symbol.asyncIterator]();
  await reading.next();
  await journal.cut();
  await assert.rejects(
    async () => {
      for (;;) await reading.next();
    },
    { code: 'out-of-range' },
  );
});

test('a cursor of another ledger, of the future, or of nowhere is refused', async (t) => {
  const { journal } = open(t);
  const { journal: other } = open(t);
  journal.append(event('/a'));
  other.append(event('/a'));
  const [entry] = await read(other);
  const refused = (since: string): void => void journal.read({ since, follow: false, filters: [] }, forever);
  assert.throws(() => refused(entry?.cursor ?? ''), { code: 'failed-precondition', message: /another daemon/ });
  const newest = journal.state().newest ?? '';
  assert.throws(() => refused(`${newest.slice(0, newest.indexOf('-'))}-zzzzzzzz`), { code: 'out-of-range' });
  for (const since of ['x', 'latest', `${newest} `, '-1']) {
    assert.throws(() => refused(since), { code: 'invalid-argument' }, since);
  }
});

test('after a power cut no cursor that was told before means what came after', async (t) => {
  const ledger = new Ledger({ path: ':memory:' });
  const { journal } = open(t, { ledger });
  journal.append(event('/kept'));
  const [kept] = await read(journal);
  // The ledger as it was on disk: the rows after it were told, and then the power was cut.
  const lost = new Journal({ ledger, codec, maxAge: 60_000, maxBytes: 1e6, bootId: 'b' });
  t.after(() => lost.close());
  lost.append(event('/new'));
  const told = kept?.cursor.replace(/.{4}$/, (end) => (Number.parseInt(end, 36) + 50).toString(36)) ?? '';
  assert.deepEqual(topics(await read(lost, told)), ['/new']);
});

test('of size 0 it keeps nothing', async (t) => {
  const { journal } = open(t, { maxBytes: 0 });
  journal.append(event('/a'));
  assert.deepEqual(await read(journal), []);
});
