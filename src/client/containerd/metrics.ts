import { type DescMessage, type Message } from '@bufbuild/protobuf';
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect';
import { HakoError } from '#base/errors.ts';
import { MetricsSchema as V1 } from '#proto/gen/io/containerd/cgroups/v1/metrics_pb.ts';
import { MetricsSchema as V2 } from '#proto/gen/io/containerd/cgroups/v2/metrics_pb.ts';
import type { Containerd } from '../containerd.ts';
import { unpackAny } from './packing.ts';
import { tasks } from './tasks.ts';

/** A message as plain values, fields under their names in the .proto file; numbers may be bigints. */
export interface Values {
  readonly [field: string]: Value;
}
export type Value = string | number | bigint | boolean | Values | readonly Value[];

export interface TaskMetrics {
  readonly id: string;
  readonly seconds: bigint;
  readonly nanos: number;
  /** Whose counters they are: those of cgroup v1 or v2. */
  readonly version: 1 | 2;
  /** Without fields that have nothing to tell: zero, empty. */
  readonly data: Values;
}

/** One look at what a task uses. */
export async function getMetrics(door: Containerd, id: string): Promise<TaskMetrics> {
  const { metrics } = await tasks(door).metrics({ filters: [`id==${id}`] });
  const [metric] = metrics;
  if (metric === undefined) throw new HakoError('not-found', `task "${id}": no metrics received`);
  const { timestamp, data } = metric;
  const when = { id: metric.id, seconds: timestamp?.seconds ?? 0n, nanos: timestamp?.nanos ?? 0 };
  const first = unpackAny(V1, data);
  if (first !== undefined) return { ...when, version: 1, data: plain(V1, first) };
  const second = unpackAny(V2, data);
  if (second !== undefined) return { ...when, version: 2, data: plain(V2, second) };
  throw new HakoError('unimplemented', `metrics of type "${data?.typeUrl ?? ''}": those of cgroup v1 and v2 are known`);
}

const plain = (schema: DescMessage, message: Message): Values => fieldsOf(reflect(schema, message));

function fieldsOf(message: ReflectMessage): Values {
  const found: Record<string, Value> = {};
  for (const field of message.desc.fields) {
    if (!message.isSet(field)) continue;
    if (field.fieldKind === 'message') found[field.name] = fieldsOf(message.get(field));
    else if (field.fieldKind === 'list')
      found[field.name] = [...message.get(field)].map((one) =>
        field.listKind === 'message' ? fieldsOf(one as ReflectMessage) : (one as Value),
      );
    else if (field.fieldKind !== 'map') found[field.name] = message.get(field) as Value;
  }
  return found;
}
