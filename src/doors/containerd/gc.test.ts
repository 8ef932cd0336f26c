import { timestampDate } from '@bufbuild/protobuf/wkt';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silent } from '#base/log.ts';
import { GarbageCollection } from '#proto/gen/hakobune/services/gc/v1/gc_pb.ts';
import type { Question } from '#services/gc-explain.ts';
import type { GarbageCollector, GarbagePlan } from '#services/gc.ts';
import { GrpcClient } from '#wire/grpc-client.ts';
import { GrpcServer } from '#wire/grpc-server.ts';
import { gcService } from './gc.ts';

const at = new Date('2026-03-04T05:06:07.089Z');
const plan: GarbagePlan = {
  items: [
    { key: 'snapshot\0default\0overlayfs/a/b', bytes: 7 },
    { key: 'lease\0default\0odd\0name', bytes: 0 },
  ],
  bytes: 7,
  nextExpiry: at,
};

test('plans, runs and explanations are told to a client that names no namespace', async (t) => {
  const asked: unknown[] = [];
  const gc = {
    plan: async (namespace: string) => (asked.push(namespace), plan),
    runAndTell: async () => plan,
    explain: async (question: Question) => {
      asked.push(question);
      const path = [{ key: 'lease\0default\0work', relation: 'a lease' }];
      return [
        { subject: 'lease\0default\0work', path, until: at.getTime() },
        { subject: 'content\0default\0sha256:1', path: [] },
      ];
    },
  };
  const directory = await mkdtemp(join(tmpdir(), 'hako-door-'));
  const server = new GrpcServer([gcService(gc as unknown as GarbageCollector)], silent);
  await server.listen(join(directory, 'd.sock'));
  const connection = new GrpcClient(join(directory, 'd.sock'));
  t.after(async () => {
    connection.close();
    await server.close(0);
    await rm(directory, { recursive: true });
  });
  const client = connection.service(GarbageCollection);

  for (const { items, bytes, nextExpiry } of [await client.plan({ namespace: 'default' }), await client.run({})]) {
    assert.equal(bytes, 7n);
    assert.equal(nextExpiry === undefined ? undefined : timestampDate(nextExpiry).getTime(), at.getTime());
    const told = items.map(({ resource, bytes: each }) => [
      resource?.type,
      resource?.snapshotter,
      resource?.name,
      each,
    ]);
    assert.deepEqual(told, [
      ['snapshot', 'overlayfs', 'a/b', 7n],
      ['lease', '', 'odd\0name', 0n],
    ]);
  }
  const { explanations } = await client.explain({ subject: 'work', snapshotter: 's' });
  assert.deepEqual(
    explanations.map(({ held, path, subject }) => [held, path.map(({ relation }) => relation), subject?.name]),
    [
      [true, ['a lease'], 'work'],
      [false, [], 'sha256:1'],
    ],
  );
  assert.deepEqual(asked, ['default', { subject: 'work', namespace: '', snapshotter: 's' }]);
  await assert.rejects(client.plan({ namespace: '../x' }), { code: 'invalid-argument' });
});
