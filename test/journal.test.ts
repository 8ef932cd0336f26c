import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '#base/errors.ts';
import { Events } from '#proto/gen/containerd/services/events/v1/events_pb.ts';
import { Namespaces } from '#proto/gen/containerd/services/namespaces/v1/namespaces_pb.ts';
import { Journal } from '#proto/gen/hakobune/services/journal/v1/journal_pb.ts';
import { GrpcClient } from '#wire/grpc-client.ts';
import { elsewhere, openHarbour } from './support/daemon.ts';
import { eventually } from './support/expect.ts';

const STORM = 10_000;
const KILLS = 4;

/** Publishes events 0, 1, 2, … side by side, each once, until so many are acknowledged; of the others nobody knows. */
async function storm(client: GrpcClient, total: number, acknowledged: Set<number>): Promise<void> {
  const events = client.service(Events);
  const event = { typeUrl: 'containerd.events.TaskOOM', value: new Uint8Array([0x0a, 1, 0x78]) };
  let next = 0;
  const publish = async (): Promise<void> => {
    while (acknowledged.size < total) {
      const at = next++;
      try {
        await events.publish({ topic: `/storm/n${at}`, event }, { timeout: 10_000 });
        acknowledged.add(at);
      } catch (error) {
        if (codeOf(error) !== 'unavailable' && codeOf(error) !== 'cancelled') throw error;
        await sleep(20);
      }
    }
  };
  await Promise.all(Array.from({ length: 32 }, publish));
}

test(
  'a reader of the journal misses none of ten thousand events and gets none twice, whatever is killed meanwhile',
  { skip: elsewhere === undefined ? false : 'needs a daemon of its own', timeout: 240_000 },
  async () => {
    await using undo = new AsyncDisposableStack();
    const { daemon } = await openHarbour(undo);
    const client = new GrpcClient(daemon.address, { 'containerd-namespace': 'storm' });
    undo.defer(() => client.close());
    const { newest: start } = await client.service(Journal).state({});

    const acknowledged = new Set<number>();
    const publishing = storm(client, STORM, acknowledged);

    const heard: string[] = [];
    const stop = new AbortController();
    const following = (async () => {
      let since = start;
      const reader = new GrpcClient(daemon.address);
      while (!stop.signal.aborted) {
        try {
          const request = { since, follow: true, filters: ['namespace==storm,topic~="^/storm/"'] };
          for await (const { cursor, envelope } of reader.service(Journal).read(request, { signal: stop.signal })) {
            since = cursor;
            heard.push(envelope?.topic ?? '');
          }
        } catch (error) {
          if (!stop.signal.aborted && codeOf(error) !== 'unavailable' && codeOf(error) !== 'cancelled') throw error;
        }
        await sleep(20);
      }
      reader.close();
    })();

    for (let kill = 1; kill <= KILLS; kill++) {
      while (acknowledged.size < (kill * STORM) / (KILLS + 2)) await sleep(5);
      await daemon.kill();
      await daemon.start();
    }
    await publishing;
    // What was acknowledged has been written down; the reader may be a moment behind.
    // More is heard than was acknowledged: a kill comes between the two.
    const behind = (): boolean => {
      const topics = new Set(heard);
      return [...acknowledged].some((at) => !topics.has(`/storm/n${at}`));
    };
    for (let wait = 0; behind() && wait < 100; wait++) await sleep(100);
    stop.abort();
    await following;

    const once = new Set(heard);
    assert.equal(heard.length, once.size, 'an event came twice');
    const missed = [...acknowledged].filter((at) => !once.has(`/storm/n${at}`));
    assert.deepEqual(missed, []);

    // Read again from the start it is the same, in the same order.
    const again: string[] = [];
    for await (const { envelope } of client.service(Journal).read({ since: start, filters: ['namespace==storm'] })) {
      again.push(envelope?.topic ?? '');
    }
    assert.deepEqual(again, heard);
  },
);

test(
  'an event is in the journal if, and only if, what it tells of has happened, over a kill',
  { skip: elsewhere === undefined ? false : 'needs a daemon of its own', timeout: 120_000 },
  async () => {
    await using undo = new AsyncDisposableStack();
    const { daemon } = await openHarbour(undo);
    const client = new GrpcClient(daemon.address);
    undo.defer(() => client.close());
    const namespaces = client.service(Namespaces);
    for (let round = 0; round < 3; round++) {
      let stopped = false;
      let made = 0;
      const making = Promise.all(
        Array.from({ length: 8 }, async (_, worker) => {
          for (let at = 0; !stopped; at++) {
            await namespaces.create({ namespace: { name: `n${round}-${worker}-${at}` } }).then(
              () => (made += 1),
              () => (stopped = true),
            );
          }
        }),
      );
      await sleep(150 + 100 * round);
      await eventually(() => assert.ok(made > 10));
      await daemon.kill();
      await making;
      await daemon.start();
    }
    const there = (await namespaces.list({})).namespaces.map(({ name }) => name).filter((name) => /^n\d-/.test(name));
    const told: string[] = [];
    for await (const { envelope } of client.service(Journal).read({ filters: ['topic=="/namespaces/create"'] })) {
      told.push(envelope?.namespace ?? '');
    }
    assert.ok(there.length > 20, `${there.length} namespaces`);
    assert.deepEqual(told.toSorted(), there.toSorted());
  },
);
