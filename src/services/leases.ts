import { randomBytes } from 'node:crypto';
import type { Call } from '#base/call.ts';
import { parseDigest } from '#base/digest.ts';
import { alreadyExists, codeless, invalid, messageOf, notFound, HakoError } from '#base/errors.ts';
import { classTwice, labelField, parseFilters } from '#base/filters.ts';
import { now } from '#base/moment.ts';
import type { Labels } from '#core/any.ts';
import type { Ledger } from '#metadata/ledger.ts';
import { keptLabels, present } from './fields.ts';
import type { GarbageCollector } from './gc.ts';

export interface Lease {
  readonly id: string;
  readonly labels: Labels;
  readonly createdAt: Date;
}

/** `type` in containerd's words: `content`, `snapshots/overlayfs`, `ingests`, `images`. */
export interface LeaseResource {
  readonly type: string;
  readonly id: string;
}

export interface LeasesParts {
  readonly ledger: Ledger;
  readonly gc: Pick<GarbageCollector, 'run' | 'schedule'>;
}

/** Hold things against the garbage collector while a client works. */
export class Leases {
  readonly #ledger: Ledger;
  readonly #gc: LeasesParts['gc'];

  constructor(parts: LeasesParts) {
    this.#ledger = parts.ledger;
    this.#gc = parts.gc;
  }

  /** An empty id makes one up. */
  async create(call: Call, id: string, labels: Labels): Promise<Lease> {
    for (const [key, value] of Object.entries(labels)) {
      if (value !== '') checkKey(key, `failed to set label ${JSON.stringify(key)}=${JSON.stringify(value)}: `);
    }
    if (id !== '') checkKey(id, `lease ${JSON.stringify(id)}: `);
    // Whatever gc.expire says: what cannot be read as a time never comes, as in containerd.
    const lease: Lease = { id: id === '' ? madeUpId() : id, labels: keptLabels(labels), createdAt: now() };
    this.#ledger.transaction(() => {
      if (this.#ledger.leases.find(call.namespace, lease.id) !== undefined) throw alreadyExists('lease', lease.id);
      this.#ledger.namespaces.ensure(call.namespace);
      this.#ledger.leases.insert(call.namespace, lease);
    });
    // Not synced: a power cut ends every client, and with it whatever the lease was for.
    return lease;
  }

  /** `sync` waits until what nothing else holds is gone from disk. */
  async delete(call: Call, id: string, options: { sync: boolean }): Promise<void> {
    if (!this.#ledger.leases.delete(call.namespace, id)) throw notFound('lease', id);
    if (options.sync) await this.#gc.run(call.signal);
  }

  list(call: Call, filters: readonly string[]): IteratorObject<Lease> {
    const match = parseFilters(filters, classTwice);
    return this.#ledger.leases.list(call.namespace).filter((lease) => match((path) => leaseField(lease, path)));
  }

  async addResource(call: Call, id: string, resource: LeaseResource): Promise<void> {
    this.#ledger.transaction(() => {
      this.#require(call, id);
      checkResource(resource);
      this.#ledger.leases.addResource(call.namespace, id, resource);
    });
  }

  async deleteResource(call: Call, id: string, resource: LeaseResource): Promise<void> {
    this.#ledger.transaction(() => {
      this.#require(call, id);
      checkResource(resource);
      this.#ledger.leases.deleteResource(call.namespace, id, resource);
    });
    // No row went, but a reference did.
    this.#gc.schedule();
  }

  resources(call: Call, id: string): LeaseResource[] {
    this.#require(call, id);
    return this.#ledger.leases.resources(call.namespace, id);
  }

  #require(call: Call, id: string): void {
    if (this.#ledger.leases.find(call.namespace, id) === undefined) throw notFound('lease', id);
  }
}

/** As containerd makes them up: the nanoseconds of this second, and something random. */
const madeUpId = (): string => `${process.hrtime.bigint() % 1_000_000_000n}-${randomBytes(3).toString('base64url')}`;

/** containerd's database takes no key that is empty or longer. */
const LONGEST_KEY = 32_768;

function checkKey(key: string, before = ''): void {
  if (key === '') throw codeless(`${before}key required`);
  if (Buffer.byteLength(key) > LONGEST_KEY) throw codeless(`${before}key too large`);
}

function checkResource({ type, id }: LeaseResource): void {
  const [kind, ...rest] = type.split('/');
  switch (kind) {
    case 'content':
    case 'ingests':
    case 'images':
      if (rest.length > 0) throw invalid(`invalid resource type ${type}: invalid argument`);
      if (kind === 'content') checkDigest(id);
      break;
    case 'snapshots':
      if (rest.length !== 1) throw invalid(`invalid snapshot resource type ${type}: invalid argument`);
      if (rest[0] === '') throw codeless('bucket name required');
      break;
    default:
      throw new HakoError('unimplemented', `resource type ${type} not supported yet: not implemented`);
  }
  checkKey(id);
}

function checkDigest(id: string): void {
  try {
    parseDigest(id);
  } catch (error) {
    throw invalid(`invalid content resource id ${id}: ${messageOf(error)}: invalid argument`);
  }
}

function leaseField(lease: Lease, path: readonly string[]): string | undefined {
  const [first, ...rest] = path;
  if (first === 'id') return present(lease.id);
  return first === 'labels' ? labelField(lease.labels, rest) : undefined;
}
