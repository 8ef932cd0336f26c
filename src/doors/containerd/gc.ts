import type { MessageInitShape } from '@bufbuild/protobuf';
import { checkIdentifier } from '#base/identifiers.ts';
import {
  GarbageCollection,
  type ExplanationSchema,
  type PlanResponseSchema,
  type ResourceSchema,
} from '#proto/gen/hakobune/services/gc/v1/gc_pb.ts';
import type { Explanation } from '#services/gc-explain.ts';
import { splitKey } from '#services/gc-rules.ts';
import type { GarbageCollector, GarbagePlan } from '#services/gc.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { toTimestamp } from './convert.ts';

/** A service of our own. Its calls name no namespace in their headers: a collection knows them all. */
export const gcService = (gc: GarbageCollector): GrpcService =>
  grpcService(GarbageCollection, {
    plan: async ({ namespace }, call) => {
      if (namespace !== '') checkIdentifier(namespace);
      return toPlan(await gc.plan(namespace, call.signal));
    },
    explain: async ({ subject, namespace, snapshotter }) => {
      if (namespace !== '') checkIdentifier(namespace);
      const explanations = await gc.explain({ subject, namespace, snapshotter });
      return { explanations: explanations.map(toExplanation) };
    },
    run: async (_, call) => toPlan(await gc.runAndTell(call.signal)),
  });

const toPlan = ({ items, bytes, nextExpiry }: GarbagePlan): MessageInitShape<typeof PlanResponseSchema> => ({
  items: items.map((item) => ({ resource: toResource(item.key), bytes: BigInt(item.bytes) })),
  bytes: BigInt(bytes),
  ...(nextExpiry === undefined ? {} : { nextExpiry: toTimestamp(nextExpiry) }),
});

const toExplanation = ({ subject, path, until }: Explanation): MessageInitShape<typeof ExplanationSchema> => ({
  subject: toResource(subject),
  held: path.length > 0,
  path: path.map(({ key, relation }) => ({ resource: toResource(key), relation })),
  ...(until === undefined ? {} : { until: toTimestamp(new Date(until)) }),
});

function toResource(key: string): MessageInitShape<typeof ResourceSchema> {
  const [type, namespace, name] = splitKey(key);
  if (type !== 'snapshot') return { type, namespace, name };
  const slash = name.indexOf('/');
  return { type, namespace, snapshotter: name.slice(0, slash), name: name.slice(slash + 1) };
}
