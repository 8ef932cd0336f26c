import { cleanupSignal, type Call } from '#base/call.ts';
import { codeOf, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { Lease, Leases } from './leases.ts';
import { pullLabel } from './pull-label.ts';

/** An unfinished pull keeps its downloads so long; containerd's client gives its leases the same day. */
const leaseLife = 24 * 60 * 60 * 1000;

/** What one pull holds while it works, and after it when it ends too early. */
export interface PullLease {
  readonly id: string;
  /** The image is about to be named: gives what is held to the caller's lease too, when there is one. */
  handOver(): Promise<void>;
  /** The image has its name, nothing else needs to hold it. */
  finish(): Promise<void>;
  /** Blobs and halves of blobs wait for the next try; what was unpacked goes. */
  keep(): Promise<void>;
  /** Nothing is worth keeping. Resolves when it is gone from disk. */
  drop(): Promise<void>;
}

/** Leases of pulls. One instance for all: it knows which pulls are running. */
export class PullLeases {
  readonly #leases: Leases;
  readonly #logger: Logger;
  readonly #running = new Set<string>();

  constructor(leases: Leases, logger: Logger) {
    this.#leases = leases;
    this.#logger = logger;
  }

  /** A lease for a pull of `name`, with what earlier pulls of it have left. not-found when the caller's lease is none. */
  async open(call: Call, name: string): Promise<PullLease> {
    if (call.lease !== undefined) this.#leases.resources(call, call.lease);
    const label = name.slice(0, 1024);
    const { id } = await this.#leases.create(call, '', {
      'containerd.io/gc.expire': new Date(Date.now() + leaseLife).toISOString(),
      [pullLabel]: label,
    });
    this.#running.add(id);
    await this.#adopt(call, id, label);
    const undo: Call = { namespace: call.namespace, signal: call.signal };
    const end = async (work: (fresh: Call) => Promise<void>): Promise<void> => {
      try {
        await work({ ...undo, signal: cleanupSignal() });
      } catch (error) {
        // The caller is told how the pull went; the lease ends by itself.
        if (codeOf(error) !== 'not-found')
          this.#logger.log('warn', 'the lease of a pull was left', { lease: id, error: messageOf(error) });
      } finally {
        this.#running.delete(id);
      }
    };
    return {
      id,
      handOver: () => this.#handOver(call, id),
      finish: () => end((fresh) => this.#leases.delete(fresh, id, { sync: false })),
      keep: () => end((fresh) => this.#strip(fresh, id)),
      drop: () => end((fresh) => this.#leases.delete(fresh, id, { sync: true })),
    };
  }

  /**
   * After a start, before anybody may call: trees that were not synced may be torn, so the leases of pulls that a kill or a
   * power cut has ended let go of them; their downloads stay.
   */
  async recover(call: Call): Promise<void> {
    for (const { id } of this.#left(call)) await this.#strip(call, id);
  }

  /** Ends what unfinished pulls in this namespace keep. */
  async forget(call: Call): Promise<void> {
    for (const { id } of this.#left(call)) await this.#leases.delete(call, id, { sync: false });
  }

  #left(call: Call, name?: string): Lease[] {
    return this.#leases
      .list(call, [`labels."${pullLabel}"`])
      .filter(({ id, labels }) => !this.#running.has(id) && (name === undefined || labels[pullLabel] === name))
      .toArray();
  }

  async #adopt(call: Call, id: string, name: string): Promise<void> {
    for (const before of this.#left(call, name)) {
      for (const resource of this.#leases.resources(call, before.id))
        await this.#leases.addResource(call, id, resource);
      await this.#leases.delete(call, before.id, { sync: false });
    }
  }

  async #handOver(call: Call, id: string): Promise<void> {
    if (call.lease === undefined) return;
    for (const resource of this.#leases.resources(call, id)) await this.#leases.addResource(call, call.lease, resource);
  }

  async #strip(call: Call, id: string): Promise<void> {
    let left = 0;
    for (const resource of this.#leases.resources(call, id)) {
      if (resource.type.startsWith('snapshots/')) await this.#leases.deleteResource(call, id, resource);
      else left++;
    }
    if (left === 0) await this.#leases.delete(call, id, { sync: false });
  }
}

/** Whether trying again later may help: then what was downloaded so far is worth its room. */
export const mayMend = (error: unknown): boolean =>
  ['cancelled', 'deadline-exceeded', 'unavailable'].includes(codeOf(error));
