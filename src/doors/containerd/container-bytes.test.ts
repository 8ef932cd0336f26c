import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { Moment } from '#base/moment.ts';
import type { Container } from '#core/containers.ts';
import { ContainerSchema } from '#proto/gen/containerd/services/containers/v1/containers_pb.ts';
import { containerBytes } from './container-bytes.ts';
import { toContainer } from './containers.ts';

const bare: Container = {
  id: 'bare',
  image: '',
  labels: {},
  runtime: { name: 'io.containerd.runc.v2' },
  snapshotter: '',
  snapshotKey: '',
  sandbox: '',
  extensions: {},
  createdAt: new Date(0),
  updatedAt: new Moment(-1),
};

const full: Container = {
  ...bare,
  id: 'full',
  image: 'example.com/箱舟:1',
  labels: { a: 'b', long: 'x'.repeat(4000), empty: '' },
  runtime: { name: 'r', options: { typeUrl: 'containerd.runc.v1.Options', value: new Uint8Array([1, 2, 3]) } },
  spec: { typeUrl: 'spec', value: Buffer.from(JSON.stringify({ ociVersion: '1.0' })) },
  snapshotter: 'overlayfs',
  snapshotKey: 'key',
  sandbox: 'box',
  extensions: { one: { typeUrl: '', value: new Uint8Array() }, two: { typeUrl: 't', value: new Uint8Array(300) } },
  createdAt: new Moment(1_763_724_858_671_751),
  updatedAt: new Date(253_402_300_799_000),
};

for (const container of [bare, full]) {
  test(`a container is on the wire as its message has it: ${container.id}`, () => {
    const message = toBinary(ContainerSchema, create(ContainerSchema, toContainer(container)));
    assert.deepEqual(Buffer.from(containerBytes(container)), Buffer.from(message));
  });
}
