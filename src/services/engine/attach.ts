import { existsSync } from 'node:fs';
import { abortable } from '#base/locks.ts';
import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import type { StreamWriter } from '#core/streams.ts';
import type { Attachment } from './types.ts';
import { ignoreMissing, keyOf, ownCall, type EngineHouse } from './house.ts';
import { labelled, merge } from './merge.ts';
import { recordOf } from './record.ts';
import { isAlive, resolve, standingOf } from './resolve.ts';
import { isTerminal, stdinPath } from './start.ts';

export interface AttachOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly logs: boolean;
  readonly stream: boolean;
}

type Output = { readonly stream: 'stdout' | 'stderr'; readonly data: Uint8Array };

/** Connects to a container's streams, now or, when it is not running, from the moment it starts. */
export async function attach(house: EngineHouse, call: Call, ref: string, options: AttachOptions): Promise<Attachment> {
  const container = resolve(house, call, ref);
  const standing = standingOf(house, call, container.id);
  if (standing.status === 'paused') {
    throw new HakoError('conflict', `container ${ref} is paused, unpause the container before attach`);
  }
  const over = new AbortController();
  const signal = AbortSignal.any([call.signal, over.signal]);
  const record = recordOf(container);
  const tty = isTerminal(container, record);
  const running = isAlive(standing);
  // A terminal has one stream, and both names mean it.
  const wanted = tty ? { stdout: options.stdout || options.stderr, stderr: false } : options;
  const begun = running ? await openOutput(house, call, container.id, wanted, options, signal) : undefined;
  const later =
    begun === undefined && options.stream ? listenForStart(house, call, container.id, wanted, signal) : undefined;
  const input = options.stdin && options.stream ? await openInput(house, call, container, running) : undefined;
  return {
    tty,
    output: begun ?? later?.output ?? (async function* (): AsyncGenerator<Output> {})(),
    write: async (data) => input?.write(data),
    end: async () => input?.end(),
    [Symbol.asyncDispose]: async () => {
      over.abort();
      later?.[Symbol.dispose]();
      // A client that is gone for good has ended its input too.
      await input?.end();
    },
  };
}

/** Follows the spool from its beginning (`logs`, or a run that just begins) or its end, until the run is over. */
async function openOutput(
  house: EngineHouse,
  call: Call,
  id: string,
  wanted: { stdout: boolean; stderr: boolean },
  options: { logs: boolean; stream: boolean },
  signal: AbortSignal,
): Promise<AsyncIterable<Output>> {
  const { stdout, stderr } = house.tasks.output(call, id);
  // Told when the process has ended and all it wrote is in the spool. A task that is gone has ended too.
  const finished = options.stream ? house.tasks.wait({ namespace: call.namespace, signal }, id, '') : Promise.resolve();
  finished.catch(() => {});
  const sources: AsyncIterable<Output>[] = [];
  for (const [stream, file] of [
    ['stdout', stdout],
    ['stderr', stderr],
  ] as const) {
    if (!wanted[stream] || file === '') continue;
    sources.push(labelled(await house.streams.followSpool(file, options.logs ? 0 : 'end', finished, signal), stream));
  }
  return merge(sources);
}

/** Opens the output in the moment the task is made, before its first process runs: no byte is missed. */
function listenForStart(
  house: EngineHouse,
  call: Call,
  id: string,
  wanted: { stdout: boolean; stderr: boolean },
  signal: AbortSignal,
): Disposable & { output: AsyncIterable<Output> } {
  const { promise, resolve: opened, reject } = Promise.withResolvers<AsyncIterable<Output> | undefined>();
  promise.catch(() => {});
  const listening = house.lives.listen(keyOf(call.namespace, id), async (event) => {
    if (event.kind === 'created') {
      try {
        opened(await openOutput(house, call, id, wanted, { logs: true, stream: true }, signal));
      } catch (error) {
        reject(error);
      }
    }
    // Why it did not start is told by the answer to the start itself.
    if (event.kind === 'failed' || event.kind === 'removed') opened(undefined);
  });
  async function* output(): AsyncGenerator<Output> {
    const source = await abortable(promise, signal);
    listening[Symbol.dispose]();
    if (source !== undefined) yield* source;
  }
  return { output: output(), [Symbol.dispose]: () => listening[Symbol.dispose]() };
}

/** A client's way into a container's standard input. */
interface Input {
  write(data: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

async function openInput(
  house: EngineHouse,
  call: Call,
  container: Container,
  running: boolean,
): Promise<Input | undefined> {
  const record = recordOf(container);
  const { namespace } = call;
  const { id } = container;
  let path: string;
  if (running) path = house.ledger.processes.find(namespace, id, '')?.stdio.stdin ?? '';
  else path = record?.config.OpenStdin === true ? stdinPath(house, namespace, id) : '';
  if (path === '' || (running && !existsSync(path))) return undefined;
  if (!running) await house.streams.createFifo(path);
  const writer = house.streams.openWriter(path);
  const closesForAll = record?.config.StdinOnce === true;
  const started = running ? Promise.resolve(true) : untilStarted(house, keyOf(namespace, id), house.signal);
  void started.then(
    (is) => (is ? writer.connected() : undefined),
    () => {},
  );
  return inputOf(writer, async () => {
    if (!(await started.catch(() => false))) return;
    if (closesForAll) await ignoreMissing(house.tasks.closeStdin(ownCall(house, namespace), id, ''));
  });
}

/** `last` runs once, after everything that was written is on its way. */
function inputOf(writer: StreamWriter, last: () => Promise<void>): Input {
  let over: Promise<void> | undefined;
  return {
    write: async (data) => {
      if (over === undefined) await writer.write(data);
    },
    end: () => {
      over ??= (async () => {
        await last();
        await writer.close();
      })();
      return over;
    },
  };
}

/** True when the container has started, false when it will not. */
async function untilStarted(house: EngineHouse, key: string, signal: AbortSignal): Promise<boolean> {
  const { promise, resolve: settle } = Promise.withResolvers<boolean>();
  using _listening = house.lives.listen(key, (event) => {
    if (event.kind !== 'created') settle(event.kind === 'started');
  });
  return await abortable(promise, signal);
}
