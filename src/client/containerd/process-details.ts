import { ProcessDetailsSchema } from '#proto/gen/containerd/runc/v1/options_pb.ts';
import type { AnyWords } from '../spec/spec-json.ts';
import { unpackAny } from './packing.ts';

/** What runc's kind of shims tell of a process: the exec that it belongs to. */
export function processDetails(info: AnyWords | undefined): { readonly execId: string } | undefined {
  const found = unpackAny(ProcessDetailsSchema, info);
  return found === undefined ? undefined : { execId: found.execId };
}
