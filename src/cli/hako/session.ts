import { DetachWatch } from '#base/detach-keys.ts';
import type { Hijacked } from '#client/docker.ts';
import { Failure } from '../failure.ts';
import { pour } from '../output.ts';
import { RawTerminal } from './terminal.ts';

export interface SessionOptions {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly keys: Uint8Array;
}

/** What a shell says of a program whose reader has gone: 128 and SIGPIPE. */
const brokenPipe = 141;

/** Connects our streams with a container's until its output ends or the person detaches. */
export async function carry(hijacked: Hijacked, options: SessionOptions): Promise<'ended' | 'detached'> {
  using _raw = options.tty && options.stdin ? new RawTerminal() : undefined;
  const { promise: detached, resolve: detach } = Promise.withResolvers<'detached'>();
  using _input = carryInput(hijacked, options, () => detach('detached'));
  const output = carryOutput(hijacked, options);
  try {
    return await Promise.race([output, detached]);
  } finally {
    output.catch(() => {});
    hijacked.socket.destroy();
  }
}

async function carryOutput(hijacked: Hijacked, options: SessionOptions): Promise<'ended'> {
  for await (const { stream, data } of hijacked.output(options.tty)) {
    const fd = stream === 'stdout' ? 1 : 2;
    const wanted = fd === 1 ? options.stdout : options.stderr;
    if (!wanted) continue;
    await pour(fd, data).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EPIPE' ? new Failure(brokenPipe) : error;
    });
  }
  return 'ended';
}

/** Reads our input only when it is wanted: a program in the background must not take another one's keys. */
function carryInput({ socket }: Hijacked, options: SessionOptions, detach: () => void): Disposable {
  if (!options.stdin) {
    socket.end();
    return { [Symbol.dispose]: () => {} };
  }
  const watch = options.tty ? new DetachWatch(options.keys) : undefined;
  const input = process.stdin;
  const onData = (chunk: Uint8Array): void => {
    const { pass, detached } = watch?.push(chunk) ?? { pass: chunk, detached: false };
    if (pass.length > 0 && !socket.destroyed && !socket.write(pass)) {
      input.pause();
      socket.once('drain', () => input.resume());
    }
    if (detached) detach();
  };
  const onEnd = (): void => void socket.end();
  input.on('data', onData).on('end', onEnd).on('error', onEnd);
  return {
    [Symbol.dispose]: () => {
      input
        .off('data', onData)
        .off('end', onEnd)
        .off('error', onEnd)
        .on('error', () => {});
      input.pause();
    },
  };
}
