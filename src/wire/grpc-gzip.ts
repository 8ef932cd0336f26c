import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { callersFault, HakoError } from '#base/errors.ts';
import { Slots } from '#base/slots.ts';

const inflate = promisify(gunzip);
const deflate = promisify(gzip);

/** The only compression of messages that clients of ours use. */
export const compression = 'gzip';

export const compress = (payload: Uint8Array): Promise<Uint8Array> => deflate(payload);

/** As many threads as there are to inflate: more at once would not be sooner, and each may need what a message may have. */
const inflating = new Slots(4);
const always = new AbortController().signal;

/** Errors have the words of gRPC's Go library. */
export async function decompress(payload: Uint8Array, limit: number): Promise<Uint8Array> {
  using _slot = await inflating.take(always);
  try {
    return await inflate(payload, { maxOutputLength: limit });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') {
      throw new HakoError('resource-exhausted', `grpc: received message after decompression larger than max ${limit}`);
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new HakoError('internal', `grpc: failed to decompress the message: ${reason}`, callersFault);
  }
}
