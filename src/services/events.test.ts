import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Event, EventCodec } from '#core/events.ts';
import { Ledger } from '#metadata/ledger.ts';
import { Events } from './events.ts';

const exit = { kind: 'plain', type: 'TaskExit', fields: { containerId: 'web', exitStatus: 3 } } as const;

test('a subscriber gets what happens from its call on, before its first read too', async () => {
  const events = new Events();
  const stop = new AbortController();
  events.publish('default', '/tasks/exit', exit);
  const heard = events.subscribe([], stop.signal);
  events.publish('default', '/tasks/exit', exit);
  events.publish('other', '/tasks/oom', exit);
  stop.abort();
  const topics: string[] = [];
  for await (const event of heard) topics.push(`${event.namespace}${event.topic}`);
  assert.deepEqual(topics, ['default/tasks/exit', 'other/tasks/oom']);
});

/** Knows one field. */
const codec: EventCodec = {
  encode: () => ({ typeUrl: '', value: new Uint8Array() }),
  field: (payload, [first]) =>
    payload.kind === 'plain' && first === 'container_id' ? String(payload.fields['containerId']) : undefined,
};

test('filters choose by topic, namespace and fields in the names of the proto', async () => {
  const events = new Events({ codec });
  const stop = new AbortController();
  const heard = events.subscribe(['topic~="^/tasks/.*",event.container_id==web', 'namespace==k8s.io'], stop.signal);
  events.publish('default', '/tasks/exit', exit);
  events.publish('default', '/images/create', exit);
  events.publish('default', '/tasks/exit', { ...exit, fields: { containerId: 'other' } });
  events.publish('k8s.io', '/images/create', exit);
  stop.abort();
  const heardEvents = await Array.fromAsync(heard);
  assert.deepEqual(
    heardEvents.map(({ topic }) => topic),
    ['/tasks/exit', '/images/create'],
  );
});

test('one who waits is woken, and one who leaves is forgotten', async () => {
  const events = new Events();
  const stop = new AbortController();
  const heard = events.subscribe([], stop.signal)[Symbol.asyncIterator]();
  const next = heard.next();
  events.publish('default', '/tasks/exit', exit);
  assert.equal(((await next).value as Event).topic, '/tasks/exit');
  const last = heard.next();
  stop.abort();
  assert.equal((await last).done, true);
});

test('a subscriber that does not read is cut off and told so, and publishing goes on', async () => {
  const events = new Events();
  const heard = events.subscribe([], new AbortController().signal)[Symbol.asyncIterator]();
  for (let count = 0; count < 50_001; count += 1) events.publish('default', '/tasks/exit', exit);
  await assert.rejects(heard.next(), { code: 'resource-exhausted' });
  assert.equal((await heard.next()).done, true);
});

test('a topic or namespace that is none is refused', () => {
  const events = new Events();
  for (const topic of ['', 'tasks', '/', '/tasks/', '/a b']) {
    assert.throws(() => events.publish('default', topic, exit), { code: 'invalid-argument' }, topic);
  }
  assert.throws(() => events.publish('', '/tasks/exit', exit), { code: 'invalid-argument' });
});

test('an event of a transaction is told when that is safe, and those after it wait for their turn', async () => {
  const ledger = new Ledger({ path: ':memory:' });
  const sync = Promise.withResolvers<void>();
  const events = new Events({
    ledger: {
      afterCommit: (told) => ledger.afterCommit(told),
      transaction: (body) => ledger.transaction(body),
      durable: () => sync.promise,
      get inTransaction() {
        return ledger.inTransaction;
      },
    },
  });
  const heard: string[] = [];
  const stop = new AbortController();
  const listening = (async () => {
    for await (const { topic } of events.subscribe([], stop.signal)) heard.push(topic);
  })();
  ledger.transaction(() => events.publish('default', '/first', exit));
  events.publish('default', '/second', exit);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, []);
  sync.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, ['/first', '/second']);
  stop.abort();
  await listening;
});

test('an event of a transaction that is rolled back never happened', async () => {
  const ledger = new Ledger({ path: ':memory:' });
  const events = new Events({ ledger });
  const stop = new AbortController();
  const heard = events.subscribe([], stop.signal);
  assert.throws(() =>
    ledger.transaction(() => {
      events.publish('default', '/first', exit);
      throw new Error('no');
    }),
  );
  ledger.transaction(() => events.publish('default', '/second', exit));
  await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  assert.deepEqual(
    (await Array.fromAsync(heard)).map(({ topic }) => topic),
    ['/second'],
  );
});

test('events that no transaction brings are kept together before anyone is told', async () => {
  const ledger = new Ledger({ path: ':memory:' });
  const kept: string[] = [];
  let transactions = 0;
  const journal = {
    append: ({ topic }: Event) => {
      kept.push(topic);
      if (topic === '/first') ledger.afterCommit(() => (transactions += 1));
    },
  };
  const events = new Events({ ledger, journal });
  const stop = new AbortController();
  const heard = events.subscribe([], stop.signal)[Symbol.asyncIterator]();
  for (const topic of ['/first', '/second', '/third']) events.publish('default', topic, exit);
  assert.deepEqual(kept, []);
  const first = heard.next();
  await events.kept();
  assert.deepEqual(kept, ['/first', '/second', '/third']);
  assert.equal(transactions, 1);
  assert.equal(((await first).value as Event).topic, '/first');
  events.publish('default', '/last', exit);
  events.flush();
  assert.equal(kept.at(-1), '/last');
  stop.abort();
});

test('an event that cannot be kept is told all the same', async () => {
  const ledger = new Ledger({ path: ':memory:' });
  const journal = {
    append: () => {
      throw new Error('full');
    },
  };
  const logged: string[] = [];
  const events = new Events({
    ledger,
    journal,
    logger: { log: (level, message) => void logged.push(`${level} ${message}`) },
  });
  const stop = new AbortController();
  const heard = events.subscribe([], stop.signal);
  events.publish('default', '/first', exit);
  await events.kept();
  stop.abort();
  assert.equal((await Array.fromAsync(heard)).length, 1);
  assert.ok(logged.includes('error events are missing in the journal'));
  assert.throws(() => ledger.transaction(() => events.publish('default', '/second', exit)), /full/);
});
