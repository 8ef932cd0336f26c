import path from 'node:path';
import type { Call } from '#base/call.ts';
import { codeOf } from '#base/errors.ts';
import { Locks } from '#base/locks.ts';
import { silent, type Logger } from '#base/log.ts';
import type { NetworkDriver } from '#core/network.ts';
import type { RootfsReader } from '#core/rootfs.ts';
import type { Streams } from '#core/streams.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { Background } from '../background.ts';
import type { Nouns } from '../nouns.ts';
import { hostFacts, type HostFacts } from '../spec/host-facts.ts';
import { Execs } from './execs.ts';
import { ImageCache } from './image-model.ts';
import { Lives } from './lives.ts';

/** What the daemon builds the engine from. */
export interface EngineParts extends Nouns {
  readonly ledger: Ledger;
  /** Absent where the machine has no way to connect containers: only host and none are then possible. */
  readonly network?: NetworkDriver;
  readonly rootfs: RootfsReader;
  readonly streams: Streams;
  /** Where new containers' trees are kept. */
  readonly defaultSnapshotter: string;
  /** The daemon's own directories. */
  readonly root: string;
  readonly state: string;
  readonly logger?: Logger;
  /** Ends with the daemon. */
  readonly signal: AbortSignal;
  /** Our own version, for Docker's clients; without it, what introspection tells. */
  readonly version?: string;
}

/** What all verbs share: the services, and what the engine knows of this moment. */
export interface EngineHouse extends Omit<EngineParts, 'logger'> {
  readonly logger: Logger;
  readonly locks: Locks;
  readonly lives: Lives;
  readonly execs: Execs;
  readonly imageCache: ImageCache;
  readonly facts: HostFacts;
  /** Tidying up that no client waits for. */
  readonly background: Background;
}

export function buildHouse(parts: EngineParts): EngineHouse {
  const logger = parts.logger ?? silent;
  return {
    ...parts,
    logger,
    background: new Background(logger),
    locks: new Locks(),
    lives: new Lives(),
    execs: new Execs(),
    imageCache: new ImageCache(),
    facts: hostFacts(),
  };
}

/** One container over all namespaces. */
export const keyOf = (namespace: string, id: string): string => `${namespace}/${id}`;

/** A call of the daemon's own, which no client can end. */
export const ownCall = (house: EngineHouse, namespace: string): Call => ({ namespace, signal: house.signal });

/** Directory of the FIFOs that the daemon makes as a client of its own tasks. */
export const ioDirectory = (house: Pick<EngineHouse, 'state'>, namespace: string, id: string): string =>
  path.join(house.state, 'io', namespace, id);

/** For steps that may have been done already. */
export async function ignoreMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
  }
}
