import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { toBinary, create } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { codeless, HakoError, messageOf } from '#base/errors.ts';
import type { Any } from '#core/any.ts';
import { pipe, setNonblocking } from '#sys/fd.ts';
import { withSoftFileLimit } from '#sys/process.ts';
import { isUnpackable, tarMediaType } from './media-types.ts';

/** A program that turns layers of some media types into another: what `[stream_processors]` names. */
export interface StreamProcessor {
  readonly id: string;
  readonly accepts: readonly string[];
  readonly returns: string;
  readonly path: string;
  readonly args: readonly string[];
  /** `NAME=value`, added to the daemon's own. */
  readonly env: readonly string[];
}

/** A program with the type of what it is given. */
export interface Link {
  readonly processor: StreamProcessor;
  readonly mediaType: string;
}

const longestChain = 16;
const mostErrorText = 16 * 1024;
const softFileLimit = 1024;
/** How long what a program has said is waited for when it has ended, in milliseconds. */
const lastWords = 1000;

/**
 * The programs that a layer goes through until it is a tar, packed or not. They come before what we can do ourselves, as
 * with containerd. Throws when nobody knows the type.
 */
export function chainFor(mediaType: string, processors: readonly StreamProcessor[]): Link[] {
  const chain: Link[] = [];
  for (let type = mediaType; chain.length === 0 || type !== tarMediaType;) {
    const processor = processors.find(({ accepts }) => accepts.includes(type));
    if (processor === undefined) {
      if (isUnpackable(type)) return chain;
      // Another differ may be able to decrypt it.
      const message = `failed to get stream processor for ${mediaType}: no processor for media-type`;
      throw type.endsWith('+encrypted') ? new HakoError('unimplemented', message) : codeless(message);
    }
    chain.push({ processor, mediaType: type });
    if (chain.length > longestChain)
      throw new HakoError('invalid-argument', `stream processors for ${mediaType} go in a circle at "${processor.id}"`);
    type = processor.returns;
  }
  return chain;
}

interface Running {
  readonly id: string;
  readonly child: ChildProcess;
  /** Why it failed; undefined when it ended well. */
  readonly ended: Promise<string | undefined>;
}

/** A chain of programs at work, each one's output the next one's input. Ends them when it is disposed of. */
export class ProcessorChain implements AsyncDisposable {
  readonly #running: Running[] = [];
  readonly #descriptors: number[] = [];
  /** Where what the last one gives can be read. */
  readonly output: string;

  /** `file` is the layer. */
  constructor(file: string, chain: readonly Link[], payloads: Readonly<Record<string, Any>>) {
    let input = openSync(file, 'r');
    try {
      for (const { processor, mediaType } of chain) {
        const { read, write } = pipe();
        try {
          this.#running.push(start(processor, mediaType, payloads[processor.id], input, write));
        } finally {
          // Only the program writes: its end is the end of the stream.
          closeSync(write);
          closeSync(input);
          input = read;
        }
      }
    } catch (error) {
      closeSync(input);
      this.kill();
      throw error;
    }
    this.#descriptors.push(input);
    this.output = `/proc/self/fd/${input}`;
  }

  /** Waits until all have ended, and throws what the first that failed had to say. */
  async finish(): Promise<void> {
    for (const { id, ended } of this.#running) {
      const why = await ended;
      if (why !== undefined) throw new HakoError('unknown', `stream processor "${id}" ${why}`);
    }
  }

  /** Ends them where they are, with all that they have started. */
  kill(): void {
    for (const { child } of this.#running) {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended in this moment.
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const fd of this.#descriptors.splice(0)) closeSync(fd);
    this.kill();
    await Promise.all(this.#running.map(({ ended }) => ended));
  }
}

function start(
  { id, path, args, env }: StreamProcessor,
  mediaType: string,
  payload: Any | undefined,
  input: number,
  output: number,
): Running {
  const errors = pipe();
  const told = payload === undefined ? undefined : pipe();
  try {
    // A group of its own, so that what a script has started ends with it.
    const child = withSoftFileLimit(softFileLimit, () =>
      spawn(path, args, {
        stdio: [input, output, errors.write, ...(told === undefined ? [] : [told.read])],
        env: { ...process.env, ...environment(env), STREAM_PROCESSOR_MEDIATYPE: mediaType },
        detached: true,
      }),
    );
    const said = socketOf(errors.read, true);
    const text = collect(said);
    // What it has left behind may keep its errors open for ever.
    child.once('exit', () => setTimeout(() => said.destroy(), lastWords).unref());
    if (told !== undefined && payload !== undefined) tell(told.write, payload);
    return { id, child, ended: endOf(child, text) };
  } finally {
    closeSync(errors.write);
    if (told !== undefined) closeSync(told.read);
  }
}

const environment = (lines: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    lines.map((line) => {
      const equals = line.indexOf('=');
      return equals < 0 ? [line, ''] : [line.slice(0, equals), line.slice(equals + 1)];
    }),
  );

/** Real pipes, not the sockets that Node would make: a script may open /dev/stderr or /proc/self/fd/3 anew. */
function socketOf(fd: number, readable: boolean): Socket {
  setNonblocking(fd);
  return new Socket({ fd, readable, writable: !readable });
}

/** The payload as containerd words it: a google.protobuf.Any. */
function tell(fd: number, { typeUrl, value }: Any): void {
  const socket = socketOf(fd, false);
  // One who does not listen is no error.
  socket.on('error', () => socket.destroy());
  socket.end(toBinary(AnySchema, create(AnySchema, { typeUrl, value: new Uint8Array(value) })));
}

async function collect(socket: Socket): Promise<string> {
  let text = '';
  try {
    for await (const piece of socket) if (text.length < mostErrorText) text += String(piece);
  } catch {
    // What was said until then is enough.
  }
  return text.slice(0, mostErrorText).trim();
}

async function endOf(child: ChildProcess, text: Promise<string>): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  child.once('error', (error) => resolve(`could not be started: ${messageOf(error)}`));
  child.once('exit', (code, signal) => resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${code}`}`));
  const how = await promise;
  if (how === undefined) return undefined;
  const said = child.pid === undefined ? '' : await text;
  return said === '' ? how : `${how}: ${said}`;
}
