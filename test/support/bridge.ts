import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Call } from '#base/call.ts';
import type { LogLevel, Logger } from '#base/log.ts';
import { notFound } from '#base/errors.ts';
import type { Event } from '#core/events.ts';
import type { CreateTask, Exit, ProcessRef, ProcessState, Runtime, RuntimeFeatures } from '#core/runtime.ts';
import type { Layer, SnapshotDriver, SnapshotId } from '#core/snapshots.ts';
import { FileContentStore } from '#drivers/content/content.ts';
import { Ledger } from '#metadata/ledger.ts';
import { Containers } from '#services/containers.ts';
import { Content, type ContentSharing } from '#services/content.ts';
import { Events } from '#services/events.ts';
import { GarbageCollector, type GarbageCollectorParts } from '#services/gc.ts';
import { Images } from '#services/images.ts';
import { Leases } from '#services/leases.ts';
import { Namespaces } from '#services/namespaces.ts';
import { Snapshots } from '#services/snapshots.ts';
import { Tasks } from '#services/tasks.ts';

/** Trees as plain directories: as much of a snapshotter as the services can see. */
export class DirectoryDriver implements SnapshotDriver {
  readonly root: string;
  /** Awaited by `create` and `seal` before they do anything, so that a test can stop them there. */
  gate: (step: 'create' | 'seal', id: SnapshotId) => Promise<void> = async () => {};

  constructor(root: string) {
    this.root = root;
  }

  async create(layer: Layer): Promise<{ kind: 'empty' | 'complete' }> {
    await mkdir(join(this.root, layer.id), { recursive: true });
    await this.gate('create', layer.id);
    return { kind: layer.labels['containerd.io/snapshot.ref'] === 'held remotely' ? 'complete' : 'empty' };
  }

  async seal(layer: Layer): Promise<{ bytes: number; inodes: number }> {
    await this.gate('seal', layer.id);
    return this.usage(layer);
  }

  async usage(layer: Layer): Promise<{ bytes: number; inodes: number }> {
    const names = await readdir(join(this.root, layer.id));
    return { bytes: names.length * 10, inodes: names.length };
  }

  async mounts(layer: Layer): Promise<{ type: string; source: string; options: string[] }[]> {
    const lower = layer.parents.map((id) => join(this.root, id));
    return [{ type: 'bind', source: join(this.root, layer.id), options: [layer.readonly ? 'ro' : 'rw', ...lower] }];
  }

  async remove(id: SnapshotId): Promise<void> {
    await rm(join(this.root, id), { recursive: true, force: true });
  }

  async *list(): AsyncGenerator<SnapshotId> {
    for (const id of await readdir(this.root)) yield id as SnapshotId;
  }
}

interface FakeProcess {
  status: ProcessState['status'];
  pid: number;
  exit: PromiseWithResolvers<Exit>;
  ended?: Exit;
}

/** A shim that runs nothing: the test says when a process ends. It lives on when a daemon goes. */
export class FakeRuntime implements Runtime {
  readonly processes = new Map<string, FakeProcess>();
  readonly created: CreateTask[] = [];
  /** Names of methods that throw this instead. */
  readonly failures = new Map<string, Error>();
  #lastPid = 100;

  /** Ends a process, as the kernel would. */
  end(namespace: string, id: string, status: number, execId = ''): void {
    const process = this.#get({ namespace, id, execId });
    process.status = 'stopped';
    process.ended = { pid: process.pid, status, at: new Date() };
    process.exit.resolve(process.ended);
  }

  async create(request: CreateTask): Promise<{ pid: number }> {
    this.#fail('create');
    this.created.push(request);
    return { pid: this.#add({ ...request, execId: '' }).pid };
  }

  async features(): Promise<RuntimeFeatures> {
    this.#fail('features');
    return { binary: 'runc', features: Buffer.from('{}') };
  }

  async exec(ref: ProcessRef): Promise<void> {
    this.#fail('exec');
    this.#add(ref);
  }

  async start(ref: ProcessRef): Promise<{ pid: number }> {
    this.#fail('start');
    const process = this.#get(ref);
    process.status = 'running';
    return { pid: process.pid };
  }

  async state(ref: ProcessRef): Promise<ProcessState> {
    const { status, pid, ended } = this.#get(ref);
    const stdio = { stdin: '', stdout: '', stderr: '', terminal: false };
    return { status, pid, stdio, bundle: `/bundles/${ref.id}`, ...(ended === undefined ? {} : { exit: ended }) };
  }

  async wait(ref: ProcessRef, signal: AbortSignal): Promise<Exit> {
    const { promise, reject } = Promise.withResolvers<never>();
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    return Promise.race([this.#get(ref).exit.promise, promise]);
  }

  async kill(ref: ProcessRef, request: { signal: number }): Promise<void> {
    this.#get(ref);
    if (request.signal === 9) this.end(ref.namespace, ref.id, 137, ref.execId);
  }

  async remove(ref: ProcessRef): Promise<Exit> {
    const process = this.#get(ref);
    this.processes.delete(keyOf(ref));
    return process.ended ?? { pid: process.pid, status: 0, at: new Date() };
  }

  async pause(ref: ProcessRef): Promise<void> {
    this.#get(ref).status = 'paused';
  }

  async resume(ref: ProcessRef): Promise<void> {
    const process = this.#get(ref);
    if (process.status === 'paused') process.status = 'running';
  }

  async list(): Promise<{ namespace: string; id: string }[]> {
    const keys = [...this.processes.keys()].map((key) => key.split('/'));
    return keys
      .filter(([, , execId]) => execId === '')
      .map(([namespace, id]) => ({ namespace: namespace ?? '', id: id ?? '' }));
  }

  async discard(namespace: string, id: string): Promise<void> {
    for (const key of this.processes.keys()) if (key.startsWith(`${namespace}/${id}/`)) this.processes.delete(key);
  }

  spool(_namespace: string, id: string): { stdout: string; stderr: string } {
    return { stdout: `/spool/${id}/stdout`, stderr: `/spool/${id}/stderr` };
  }

  async pids(ref: ProcessRef): Promise<{ pid: number }[]> {
    return [{ pid: this.#get(ref).pid }];
  }

  async resize(): Promise<void> {}
  async closeStdin(): Promise<void> {}
  async update(): Promise<void> {}
  async checkpoint(): Promise<void> {}
  ooms(): number {
    return 0;
  }
  watchOoms(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }
  async stats(): Promise<{ typeUrl: string; value: Uint8Array }> {
    return { typeUrl: 'test/stats', value: new Uint8Array() };
  }

  #add(ref: ProcessRef): FakeProcess {
    const process: FakeProcess = { status: 'created', pid: (this.#lastPid += 1), exit: Promise.withResolvers() };
    this.processes.set(keyOf(ref), process);
    return process;
  }

  #get(ref: ProcessRef): FakeProcess {
    const process = this.processes.get(keyOf(ref));
    if (process === undefined) throw notFound('process', keyOf(ref));
    return process;
  }

  #fail(method: string): void {
    const failure = this.failures.get(method);
    if (failure !== undefined) throw failure;
  }
}

const keyOf = (ref: ProcessRef): string => `${ref.namespace}/${ref.id}/${ref.execId}`;

/** Everything between the doors and the runtime, over a real ledger, real blobs and real directories. */
export interface Bridge extends AsyncDisposable {
  readonly root: string;
  readonly ledger: Ledger;
  readonly store: FileContentStore;
  readonly driver: DirectoryDriver;
  readonly runtime: FakeRuntime;
  readonly namespaces: Namespaces;
  readonly events: Events;
  readonly content: Content;
  readonly snapshots: Snapshots;
  readonly gc: GarbageCollector;
  readonly images: Images;
  readonly leases: Leases;
  readonly containers: Containers;
  readonly tasks: Tasks;
  readonly logged: { level: LogLevel; message: string }[];
  /** Every event since the start. */
  readonly published: Event[];
  /** Waits for everything in the background. */
  idle(): Promise<void>;
  /** Ends this daemon and starts the next on the same root, with the same runtime. */
  restart(): Promise<Bridge>;
}

export const call: Call = { namespace: 'default', signal: new AbortController().signal };
export const leased = (lease: string): Call => ({ ...call, lease });

/** A bridge on a temporary directory of its own, or on `root`, which is kept at the end unless it is `owned`. */
export async function openBridge(
  options: {
    root?: string;
    owned?: boolean;
    runtime?: FakeRuntime;
    sharing?: ContentSharing;
    gc?: Pick<GarbageCollectorParts, 'smallLedgerRows' | 'schedule'>;
  } = {},
): Promise<Bridge> {
  const root = options.root ?? (await mkdtemp(join(tmpdir(), 'hako-bridge-')));
  const owned = options.owned ?? options.root === undefined;
  const runtime = options.runtime ?? new FakeRuntime();
  await mkdir(join(root, 'trees'), { recursive: true });
  const ledger = new Ledger({ path: join(root, 'ledger.db'), durable: false });
  const store = await FileContentStore.start(join(root, 'content'));
  const driver = new DirectoryDriver(join(root, 'trees'));
  const logged: Bridge['logged'] = [];
  const logger: Logger = { log: (level, message) => void logged.push({ level, message }) };
  const events = new Events({ ledger, logger });
  const published: Event[] = [];
  const forward = events.forward.bind(events);
  events.forward = (event) => {
    forward(event);
    published.push(event);
  };
  const { sharing = 'shared' } = options;
  const content = new Content({ ledger, events, store, sharing, logger });
  const drivers = new Map([['overlayfs', driver]]);
  const snapshots = new Snapshots({ ledger, events, drivers, defaultSnapshotter: 'overlayfs', logger });
  const gc = new GarbageCollector({ ledger, events, content, snapshots, logger, ...options.gc });
  const containers = new Containers({ ledger, events, logger });
  const tasks = new Tasks({
    ledger,
    events,
    containers,
    snapshots,
    runtime,
    root,
    state: join(root, 'state'),
    logger,
  });
  const idle = async (): Promise<void> => {
    await gc.idle();
    await content.idle();
    await snapshots.idle();
  };
  const close = async (): Promise<void> => {
    await idle();
    await gc.close();
    await tasks.close();
    store[Symbol.dispose]();
    await ledger.close();
  };
  let closed = false;
  return {
    root,
    ledger,
    store,
    driver,
    runtime,
    events,
    content,
    snapshots,
    gc,
    containers,
    tasks,
    logged,
    published,
    namespaces: new Namespaces({ ledger, events }),
    images: new Images({ ledger, events, gc }),
    leases: new Leases({ ledger, gc }),
    idle,
    restart: async () => {
      closed = true;
      await close();
      return openBridge({ root, owned, runtime });
    },
    [Symbol.asyncDispose]: async () => {
      // The one that was started after this one has the directory now.
      if (closed) return;
      await close();
      if (owned) await rm(root, { recursive: true, force: true });
    },
  };
}

/** Uploads bytes as a client would, and gives their digest. */
export async function upload(
  bridge: Bridge,
  on: Call,
  text: string,
  labels: Record<string, string> = {},
): Promise<string> {
  await using writer = await bridge.content.writer(on, { ref: `upload-${text}` });
  await writer.write(Buffer.from(text));
  return await writer.commit({ labels });
}

/** Makes a committed tree. */
export async function layer(
  bridge: Bridge,
  on: Call,
  name: string,
  parent = '',
  labels: Record<string, string> = {},
): Promise<void> {
  await bridge.snapshots.prepare(on, '', `making ${name}`, parent, {});
  await bridge.snapshots.commit(on, '', name, `making ${name}`, labels);
}

/** Makes a container that runs on the tree `key`, or on none. */
export async function container(bridge: Bridge, id: string, key = ''): Promise<void> {
  await bridge.containers.create(call, {
    id,
    image: 'docker.io/library/test:latest',
    labels: {},
    spec: { typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/Spec', value: Buffer.from('{}') },
    runtime: { name: 'io.containerd.runc.v2' },
    snapshotter: 'overlayfs',
    snapshotKey: key,
    sandbox: '',
    extensions: {},
  });
}
