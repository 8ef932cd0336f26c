import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ImageSchema, ListImagesResponseSchema } from '#proto/gen/containerd/services/images/v1/images_pb.ts';
import { repeated } from './repeated.ts';

const images = Array.from({ length: 300 }, (_, at) => ({ name: `image-${at}`, labels: { at: String(at) } }));

test('a list that is encoded as it comes has the bytes of the whole message', () => {
  const whole = toBinary(ListImagesResponseSchema, create(ListImagesResponseSchema, { images }));
  const { payload } = repeated(ListImagesResponseSchema, 'images', ImageSchema, images);
  assert.deepEqual(Buffer.from(payload), Buffer.from(whole));
});

test('an empty list is an empty message', () => {
  const { payload } = repeated(ListImagesResponseSchema, 'images', ImageSchema, []);
  assert.equal(fromBinary(ListImagesResponseSchema, payload).images.length, 0);
});

test('only a list of the item can be encoded so', () => {
  assert.throws(() => repeated(ImageSchema, 'name', ImageSchema, []), TypeError);
});
