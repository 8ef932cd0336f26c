import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  AnySchema,
  TimestampSchema,
  type Any as AnyMessage,
  type FieldMask,
  type Timestamp,
} from '@bufbuild/protobuf/wkt';
import { invalid } from '#base/errors.ts';
import { microsecondsOf, Moment } from '#base/moment.ts';
import type { Any } from '#core/any.ts';
import type { Descriptor } from '#core/images.ts';
import type { Mount } from '#core/mounts.ts';
import type { Descriptor as DescriptorMessage, DescriptorSchema } from '#proto/gen/containerd/types/descriptor_pb.ts';
import type { Mount as MountMessage, MountSchema } from '#proto/gen/containerd/types/mount_pb.ts';

/** What many messages share, in both directions. `to…` makes messages, `from…` reads them. */

export function toTimestamp(date: Date): Timestamp {
  const microseconds = microsecondsOf(date);
  const seconds = Math.floor(microseconds / 1e6);
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: (microseconds - seconds * 1e6) * 1000 });
}

/** Go's zero time: what its clients take for "never". Nothing at all they read as 1970. */
export const never = { seconds: -62_135_596_800n, nanos: 0 };

/** Undefined, too, for Go's zero time, which clients send for "not set". */
export function fromTimestamp(timestamp: Timestamp | undefined): Date | undefined {
  if (timestamp === undefined || timestamp.seconds <= never.seconds) return undefined;
  // timestamp.proto: the last one is in the year 9999.
  if (timestamp.seconds > 253_402_300_799n) throw invalid(`timestamp: ${timestamp.seconds} seconds are out of range`);
  return new Moment(Number(timestamp.seconds) * 1e6 + Math.floor(timestamp.nanos / 1000));
}

export const toAny = ({ typeUrl, value }: Any): AnyMessage =>
  create(AnySchema, { typeUrl, value: new Uint8Array(value) });

/** A copy, since the bytes of a message are part of the larger buffer it came in (and `slice` of a Buffer copies nothing). */
export const fromAny = ({ typeUrl, value }: AnyMessage): Any => ({ typeUrl, value: new Uint8Array(value) });

/** For messages whose type has optional fields that TypeScript wants left out rather than undefined. */
export const optionalAny = (any: AnyMessage | undefined): Any | undefined =>
  any === undefined ? undefined : fromAny(any);

export const toMount = (mount: Mount): MessageInitShape<typeof MountSchema> => ({
  type: mount.type,
  source: mount.source,
  target: mount.target ?? '',
  options: [...mount.options],
});

export const fromMount = (mount: MountMessage): Mount => ({
  type: mount.type,
  source: mount.source,
  options: mount.options,
  ...(mount.target === '' ? {} : { target: mount.target }),
});

export const toDescriptor = (descriptor: Descriptor): MessageInitShape<typeof DescriptorSchema> => ({
  mediaType: descriptor.mediaType,
  digest: descriptor.digest,
  size: BigInt(descriptor.size),
  annotations: { ...descriptor.annotations },
});

/** invalid-argument when the message has none; `what` says where it is missing. */
export function fromDescriptor(descriptor: DescriptorMessage | undefined, what: string): Descriptor {
  if (descriptor === undefined) throw invalid(`${what} is missing: give a descriptor`);
  const { mediaType, digest, annotations } = descriptor;
  const size = fromInt64(descriptor.size, `${what}.size`);
  return { mediaType, digest, size, ...(Object.keys(annotations).length > 0 && { annotations }) };
}

/** A 64 bit number as one of ours, which are exact up to 2^53. */
export function fromInt64(value: bigint, what: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw invalid(`${what} is ${value}, which is out of range`);
  return number;
}

export const paths = (mask: FieldMask | undefined): readonly string[] => mask?.paths ?? [];

/** The message itself, or invalid-argument with containerd's words for a missing part. */
export function needed<T>(part: T | undefined, what: string): T {
  if (part === undefined) throw invalid(`${what} required`);
  return part;
}

/** Long lists go out in pieces, as containerd sends them. */
export function* inBlocks<T>(items: Iterable<T>, size = 100): Generator<T[]> {
  let block: T[] = [];
  for (const item of items) {
    block.push(item);
    if (block.length < size) continue;
    yield block;
    block = [];
  }
  if (block.length > 0) yield block;
}
