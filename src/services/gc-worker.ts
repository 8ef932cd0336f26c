import { parentPort, workerData } from 'node:worker_threads';
import { LedgerReader } from '#metadata/reader.ts';
import { explain } from './gc-explain.ts';
import { findGarbage, type GarbageGroup } from './gc-search.ts';
import type { SearchAnswer, SearchRequest, SearchResult } from './gc-searcher.ts';

/** Runs in a thread of its own (see `gc-searcher.ts`): reads the ledger through a connection of its own. */
const reader = new LedgerReader(workerData as string);
/** What the last search found and has not been fetched yet. */
let found: readonly GarbageGroup[] = [];

function perform(request: SearchRequest): SearchResult {
  switch (request.kind) {
    case 'search': {
      const { groups, nextExpiry } = reader.snapshot((tables) => findGarbage(tables, request.facts));
      found = groups;
      return { kind: 'found', count: groups.length, nextExpiry };
    }
    case 'fetch':
      return { kind: 'groups', groups: found.slice(request.from, request.to) };
    case 'explain':
      return {
        kind: 'explanations',
        explanations: reader.snapshot((tables) => explain(tables, request.facts, request.question)),
      };
  }
}

parentPort?.on('message', (request: SearchRequest) => {
  let answer: SearchAnswer;
  try {
    answer = { id: request.id, result: perform(request) };
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    answer = { id: request.id, error: { message, code: typeof code === 'string' ? code : 'internal' } };
  }
  parentPort?.postMessage(answer);
});
