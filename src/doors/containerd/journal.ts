import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  Journal as JournalApi,
  type EntrySchema,
  type ReadRequest,
} from '#proto/gen/hakobune/services/journal/v1/journal_pb.ts';
import type { Journal } from '#services/journal.ts';
import { grpcService, type GrpcCall, type GrpcService } from '#wire/grpc-service.ts';
import { toTimestamp } from './convert.ts';
import { toEnvelope } from './envelope.ts';

/** Events as they were kept. Like containerd's Events it tells of all namespaces. */
export const journalService = (journal: Journal): GrpcService =>
  grpcService(JournalApi, {
    read: (request, call) => read(journal, request, call),
    state: () => {
      const { oldest = '', newest = '', entries, bytes, oldestAt } = journal.state();
      const at = oldestAt === undefined ? {} : { oldestAt: toTimestamp(oldestAt) };
      return { oldest, newest, entries: BigInt(entries), bytes: BigInt(bytes), ...at };
    },
  });

async function* read(
  journal: Journal,
  { since, follow, filters }: ReadRequest,
  call: GrpcCall,
): AsyncGenerator<MessageInitShape<typeof EntrySchema>> {
  const entries = journal.read({ since, follow, filters }, call.signal);
  // The cursor is good, and from now on nothing is missed.
  call.begin();
  if (follow) call.lasts();
  for await (const { cursor, event } of entries) yield { cursor, envelope: toEnvelope(event) };
}
