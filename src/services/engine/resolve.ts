import type { Call } from '#base/call.ts';
import { HakoError, invalid } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import type { RunState } from '../tasks.ts';
import type { EngineHouse } from './house.ts';

/** What clients see of a container at this moment. */
export interface Standing {
  readonly status: 'created' | 'running' | 'paused' | 'exited' | 'dead';
  readonly pid: number;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  readonly startedAt?: Date;
  readonly finishedAt?: Date;
}

/** The container that a name, an id or a prefix of one means. not-found in Docker's words. */
export function resolve(house: EngineHouse, call: Call, ref: string): Container {
  let id: string | undefined;
  try {
    id = house.ledger.names.find(call.namespace, ref);
  } catch (error) {
    if (!(error instanceof HakoError) || error.code !== 'invalid-argument') throw error;
    throw invalid(`multiple IDs found with provided prefix: ${ref}`, error);
  }
  const container = id === undefined ? undefined : house.containers.find(call, id);
  if (container === undefined) throw new HakoError('not-found', `No such container: ${ref}`);
  return container;
}

/** Its name without a slash: Docker's or nerdctl's, else the id. */
export const nameOf = (house: EngineHouse, call: Call, container: Container): string =>
  house.ledger.names.nameOf(call.namespace, container.id) ?? container.id;

export function standingOf(house: EngineHouse, call: Call, id: string): Standing {
  const run: RunState | undefined = house.tasks.runState(call, id);
  return run ?? { status: 'created', pid: 0, exitCode: 0, error: '', oomKilled: false };
}

export const isAlive = ({ status }: Standing): boolean => status === 'running' || status === 'paused';
