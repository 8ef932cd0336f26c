import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CreateContainerRequestSchema } from '#proto/gen/containerd/services/containers/v1/containers_pb.ts';
import { TaskCreateSchema } from '#proto/gen/containerd/events/task_pb.ts';
import { fitting } from './proto-check.ts';

const bytes = (...parts: (number | string | Uint8Array)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part as string))));

test('a message that fits is not copied', () => {
  const message = create(CreateContainerRequestSchema, {
    container: {
      id: 'x',
      labels: { a: 'b' },
      runtime: { name: 'r', options: { typeUrl: 't', value: new Uint8Array([0xff]) } },
      extensions: { e: { typeUrl: 'u', value: new Uint8Array([1]) } },
    },
  });
  const encoded = toBinary(CreateContainerRequestSchema, message);
  assert.equal(fitting(CreateContainerRequestSchema, encoded), encoded);
});

test('a field of the wrong wire type is passed over, however deep it lies, and what follows it is read', () => {
  // TaskCreate: container_id (1, text), io (4) { stdin (1), terminal (4) }, pid (6, number).
  const wrong = bytes(0x08, 5, 0x32, 2, 'ab', 0x22, 7, 0x08, 1, 0x0a, 1, 'i', 0x20, 1, 0x0a, 1, 'x', 0x30, 7);
  const message = fromBinary(TaskCreateSchema, fitting(TaskCreateSchema, wrong));
  assert.deepEqual([message.containerId, message.pid, message.io?.stdin, message.io?.terminal], ['x', 7, 'i', true]);
});

test('groups that nobody knows are passed over, ten thousand deep', () => {
  const groups = (depth: number): Buffer => bytes(Buffer.alloc(depth, 0x7b), Buffer.alloc(depth, 0x7c));
  const message = fromBinary(TaskCreateSchema, fitting(TaskCreateSchema, bytes(groups(10_000), 0x30, 7)));
  assert.equal(message.pid, 7);
  assert.throws(() => fitting(TaskCreateSchema, groups(10_003)), { code: 'internal' });
});

test('what is no message is refused', () => {
  const broken = [
    bytes(0xff),
    bytes(0x02, 0),
    bytes(0x0a, 0x7f, 'a'),
    bytes(0x7b),
    bytes(0x7c),
    bytes(0x7b, 0x74),
    bytes(0x0e),
    bytes(0x09, 1),
    bytes(0x08, ...Array.from({ length: 11 }, () => 0x80)),
    bytes(0x22, 1, 0x0a),
  ];
  for (const each of broken)
    assert.throws(() => fitting(TaskCreateSchema, each), { code: 'internal' }, each.toString('hex'));
});

test('a message of more fields than anybody needs is refused before they are objects', () => {
  const labels = Buffer.from([0x12, 0]);
  const container = (count: number): Buffer => {
    const value = Buffer.alloc(count * labels.length, labels);
    const length: number[] = [];
    for (let rest = value.length; ; rest = Math.floor(rest / 128)) {
      length.push(rest < 128 ? rest : (rest % 128) | 128);
      if (rest < 128) break;
    }
    return Buffer.concat([Buffer.from([0x0a, ...length]), value]);
  };
  const fine = container(400_000);
  assert.equal(fitting(CreateContainerRequestSchema, fine), fine);
  assert.throws(() => fitting(CreateContainerRequestSchema, container(600_000)), { code: 'resource-exhausted' });
});
