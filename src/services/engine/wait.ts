import { abortable } from '#base/locks.ts';
import type { Call } from '#base/call.ts';
import { codeOf } from '#base/errors.ts';
import type { WaitCondition } from './types.ts';
import { keyOf, type EngineHouse } from './house.ts';
import { isAlive, resolve, standingOf } from './resolve.ts';

interface Ended {
  readonly statusCode: number;
  readonly error?: string;
}

/** Registers before it returns; the promise inside settles with the condition, or with the call's signal. */
export async function wait(
  house: EngineHouse,
  call: Call,
  ref: string,
  condition: WaitCondition,
): Promise<{ exit: Promise<Ended> }> {
  const { id } = resolve(house, call, ref);
  const alive = isAlive(standingOf(house, call, id));
  if (condition === 'not-running' && !alive) {
    const { exitCode, error } = standingOf(house, call, id);
    return { exit: Promise.resolve(ended(exitCode, error)) };
  }
  const exit = waitFor(house, call, id, condition, alive);
  // The door may be busy with its headers when the client leaves.
  exit.catch(() => {});
  return { exit };
}

const ended = (statusCode: number, error = ''): Ended => (error === '' ? { statusCode } : { statusCode, error });

async function waitFor(
  house: EngineHouse,
  call: Call,
  id: string,
  condition: WaitCondition,
  alive: boolean,
): Promise<Ended> {
  const { promise, resolve: meet, reject } = Promise.withResolvers<Ended>();
  let last: Ended | undefined;
  const watch = (): void => {
    house.tasks.wait(call, id, '').then(
      (exit) => {
        last = ended(exit.status);
        if (condition !== 'removed') meet(last);
      },
      (error: unknown) => {
        // Removed in the moment it ended: the ledger has its exit.
        if (codeOf(error) !== 'not-found') return reject(error);
        const { exitCode } = standingOf(house, call, id);
        last ??= ended(exitCode);
        if (condition !== 'removed') meet(last);
      },
    );
  };
  using _listening = house.lives.listen(keyOf(call.namespace, id), (event) => {
    if (event.kind === 'created') watch();
    // A container that does not start never runs: whoever waited for its end would wait for ever.
    if (event.kind === 'failed') {
      // Why is told by the answer to the start; twice would be once too often.
      last = ended(event.exitCode);
      if (condition === 'next-exit') meet(last);
    }
    if (event.kind === 'removed') meet(last ?? ended(0));
  });
  if (alive) watch();
  else if (condition === 'removed') last = ended(standingOf(house, call, id).exitCode);
  // `ctr containers rm` removes as well as we do.
  const removedElsewhere = watchRemoval(house, call, id, () => meet(last ?? ended(0)));
  try {
    return await abortable(promise, call.signal);
  } finally {
    removedElsewhere.abort();
  }
}

function watchRemoval(house: EngineHouse, call: Call, id: string, removed: () => void): AbortController {
  const over = new AbortController();
  const events = house.events.subscribe(
    [`topic=="/containers/delete",event.id=="${id}"`],
    AbortSignal.any([over.signal, call.signal]),
  );
  void (async () => {
    for await (const event of events) if (event.namespace === call.namespace) removed();
  })().catch(() => {});
  return over;
}
