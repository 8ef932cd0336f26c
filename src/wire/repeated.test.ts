import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { ImageSchema, ListImagesResponseSchema } from '#proto/gen/containerd/services/images/v1/images_pb.ts';
import { repeated } from './repeated.ts';

const images = Array.from({ length: 9000 }, (_, at) => ({ name: `image-${at}`, labels: { at: String(at) } }));

test('a list that is encoded as it comes has the bytes of the whole message', () => {
  const whole = toBinary(ListImagesResponseSchema, create(ListImagesResponseSchema, { images }));
  const reply = repeated(ListImagesResponseSchema, 'images', ImageSchema, images);
  assert.deepEqual(Buffer.concat(reply.pieces), Buffer.from(whole));
  assert.equal(reply.length, whole.length);
  assert.ok(reply.pieces.length > 1);
  reply.release();
  assert.ok(reply.pieces.every(({ length }) => length === 0));
});

test('an empty list is an empty message', () => {
  assert.deepEqual(repeated(ListImagesResponseSchema, 'images', ImageSchema, []).pieces, []);
});

test('only a list of the item can be encoded so', () => {
  assert.throws(() => repeated(ImageSchema, 'name', ImageSchema, []), TypeError);
});
