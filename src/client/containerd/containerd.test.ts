import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { TaskExitSchema } from '#proto/gen/containerd/events/task_pb.ts';
import { chainId } from './image-graph.ts';
import { plainMessage } from './plain-message.ts';
import { TarTail } from './tar-tail.ts';
import { goTime, toDate } from './times.ts';

test('the chain of one layer is the layer, and of more it is hashed pair by pair', () => {
  // Computed by: printf 'sha256:aa sha256:bb' | sha256sum
  assert.equal(chainId(['sha256:aa']), 'sha256:aa');
  assert.equal(
    chainId(['sha256:aa', 'sha256:bb']),
    'sha256:b68ad689d6d1ec110ea1c13617437ad6f3766d4b3b309f6a603a222e07a0164f',
  );
});

test('a message is printed as Go prints its struct: names of the .proto file, what is empty left out', () => {
  const message = create(TaskExitSchema, {
    containerId: 'web',
    pid: 7,
    exitStatus: 0,
    exitedAt: { seconds: 5n, nanos: 0 },
  });
  assert.deepEqual(plainMessage(TaskExitSchema, message), { container_id: 'web', pid: 7, exited_at: { seconds: 5n } });
});

test('times keep their nanoseconds', () => {
  const time = { $typeName: 'google.protobuf.Timestamp', seconds: 1_700_000_000n, nanos: 120_000_001 } as const;
  assert.equal(toDate(time), '2023-11-14T22:13:20.120000001Z');
  assert.equal(goTime(time), '2023-11-14 22:13:20.120000001 +0000 UTC');
});

describe('TarTail', () => {
  const zeros = (count: number): Uint8Array => new Uint8Array(count);

  test('an archive is whole when it ends with two empty blocks', () => {
    const tail = new TarTail();
    tail.push(zeros(512).fill(1));
    assert.equal(tail.whole, false);
    tail.push(zeros(512));
    assert.equal(tail.whole, false);
    tail.push(zeros(512));
    assert.equal(tail.whole, true);
    tail.push(zeros(512).fill(1));
    assert.equal(tail.whole, false);
  });

  test('zeros count across pieces of any size, and only at a whole block', () => {
    const tail = new TarTail();
    tail.push(Uint8Array.of(1, ...zeros(600)));
    tail.push(zeros(934));
    assert.equal(tail.whole, false);
    tail.push(zeros(1));
    assert.equal(tail.whole, true);
  });
});
