import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContainerCreateSchema } from '#proto/gen/containerd/events/container_pb.ts';
import { ContentCreateSchema } from '#proto/gen/containerd/events/content_pb.ts';
import { ImageCreateSchema } from '#proto/gen/containerd/events/image_pb.ts';
import { TaskCreateSchema, TaskExitSchema } from '#proto/gen/containerd/events/task_pb.ts';
import { eventAny, eventField } from './event-any.ts';

test('an event is the message that its type names, under a bare type URL', () => {
  const any = eventAny({
    kind: 'plain',
    type: 'TaskExit',
    fields: { containerId: 'web', id: 'web', pid: 42, exitStatus: 137, exitedAt: new Date('2026-01-02T03:04:05.678Z') },
  });
  assert.equal(any.typeUrl, 'containerd.events.TaskExit');
  const exit = fromBinary(TaskExitSchema, any.value);
  assert.deepEqual([exit.containerId, exit.id, exit.pid, exit.exitStatus], ['web', 'web', 42, 137]);
  assert.equal(exit.exitedAt?.seconds, 1767323045n);
  assert.equal(exit.exitedAt?.nanos, 678_000_000);
});

test("events of images live in the images service's package", () => {
  const any = eventAny({ kind: 'plain', type: 'ImageCreate', fields: { name: 'x', labels: { a: 'b' } } });
  assert.equal(any.typeUrl, 'containerd.services.images.v1.ImageCreate');
  assert.deepEqual(fromBinary(ImageCreateSchema, any.value).labels, { a: 'b' });
});

test('numbers, messages within and lists of them are encoded as their fields want them', () => {
  const content = eventAny({
    kind: 'plain',
    type: 'ContentCreate',
    fields: { digest: 'sha256:00', size: 5_000_000_000 },
  });
  assert.equal(fromBinary(ContentCreateSchema, content.value).size, 5_000_000_000n);

  const task = eventAny({
    kind: 'plain',
    type: 'TaskCreate',
    fields: {
      containerId: 'web',
      io: { stdin: '', stdout: '/f', stderr: '', terminal: true },
      rootfs: [{ type: 'overlay', source: 'overlay', options: ['ro'] }],
    },
  });
  const { io, rootfs } = fromBinary(TaskCreateSchema, task.value);
  assert.deepEqual([io?.stdout, io?.terminal], ['/f', true]);
  assert.deepEqual([rootfs[0]?.type, rootfs[0]?.options], ['overlay', ['ro']]);

  const options = { typeUrl: 'containerd.runc.v1.Options', value: new Uint8Array([1, 2]) };
  const container = eventAny({
    kind: 'plain',
    type: 'ContainerCreate',
    fields: { id: 'web', runtime: { name: 'r', options } },
  });
  const runtime = fromBinary(ContainerCreateSchema, container.value).runtime;
  assert.deepEqual(
    [runtime?.name, runtime?.options?.typeUrl, runtime?.options?.value.length],
    ['r', options.typeUrl, 2],
  );
});

test('what a client published is handed on as it came, and an unknown type is our mistake', () => {
  const any = { typeUrl: 'their.Event', value: new Uint8Array([1]) };
  assert.equal(eventAny({ kind: 'any', any }), any);
  assert.throws(() => eventAny({ kind: 'plain', type: 'Mutiny', fields: {} }), { code: 'internal' });
});

test('filters see the fields that containerd shows them, of our own events and of those that clients publish', () => {
  const image = { name: 'x', labels: { 'a.b': 'c' } };
  const create_ = { kind: 'plain', type: 'ImageCreate', fields: image } as const;
  const published = { kind: 'any', any: eventAny(create_) } as const;
  const anywhere = { ...published, any: { ...published.any, typeUrl: `type.googleapis.com/${published.any.typeUrl}` } };
  for (const payload of [create_, published, anywhere]) {
    assert.equal(eventField(payload, ['name']), 'x');
    assert.equal(eventField(payload, ['labels', 'a', 'b']), 'c');
    assert.equal(eventField(payload, ['labels', 'other']), undefined);
    assert.equal(eventField(payload, ['nothing']), undefined);
  }
  const message = create(TaskCreateSchema, { containerId: 'web', pid: 3, io: { stdout: '/f' } });
  const task = { typeUrl: 'containerd.events.TaskCreate', value: toBinary(TaskCreateSchema, message) };
  const seen = (path: string): string | undefined => eventField({ kind: 'any', any: task }, path.split('.'));
  assert.deepEqual(
    ['container_id', 'containerId', 'pid', 'rootfs', 'bundle', 'io.stdout', 'io.stdin', 'io.terminal', 'io'].map(seen),
    ['web', undefined, undefined, undefined, undefined, '/f', undefined, 'false', undefined],
  );
  const broken = { ...task, value: new Uint8Array([255]) };
  assert.equal(eventField({ kind: 'any', any: broken }, ['container_id']), undefined);
});
