import { addAbortSignal, pipeline, Readable, type Transform } from 'node:stream';
import { createGunzip, createGzip, createZstdDecompress } from 'node:zlib';
import { compressionHead, compressionOf } from '#base/compression.ts';
import { HakoError, messageOf } from '#base/errors.ts';

/** Large pieces halve the time that inflating takes. */
const chunkSize = 1024 * 1024;

/** `source` as it was before it was compressed; what is not compressed passes as it is. Works in libuv's threads. */
export async function* inflated(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    const head: Uint8Array[] = [];
    let length = 0;
    while (length < compressionHead) {
      const next = await iterator.next();
      if (next.done === true) break;
      head.push(next.value);
      length += next.value.length;
    }
    const whole = continued(head, iterator);
    const compression = compressionOf(Buffer.concat(head));
    if (compression === 'none') yield* whole;
    else
      yield* through(
        whole,
        compression === 'gzip' ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize }),
        signal,
      );
  } finally {
    await iterator.return?.();
  }
}

/** `source`, compressed with gzip. */
export function deflated(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array> {
  return through(source, createGzip({ chunkSize }), signal);
}

async function* continued(head: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

async function* through(
  source: AsyncIterable<Uint8Array>,
  transform: Transform,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let cause: unknown;
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      cause = error;
      throw error;
    }
  };
  // Its errors reach us as the transform's own; a reader that leaves early ends the source as well.
  pipeline(Readable.from(watched()), addAbortSignal(signal, transform), () => {});
  try {
    for await (const chunk of transform) yield chunk as Buffer;
  } catch (error) {
    signal.throwIfAborted();
    if (cause instanceof Error) throw cause;
    throw damaged(error);
  }
}

function damaged(error: unknown): HakoError {
  const message = messageOf(error);
  return new HakoError(
    'unknown',
    /unexpected end of file|unexpected EOF/i.test(message) ? 'unexpected EOF' : message,
    error,
  );
}
