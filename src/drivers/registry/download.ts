import { codeOf, HakoError } from '#base/errors.ts';
import type { Descriptor } from '#core/images.ts';
import type { EndpointClient } from './endpoint-client.ts';
import { NetworkError } from './errors.ts';
import type { HttpResponse } from './response.ts';
import { isManifestType, manifestTypes } from './media-types.ts';
import { pause, type RetryPolicy } from './retry.ts';

/** One host after the other until `attempt` succeeds; the last one's error otherwise. */
export type FirstOf = <T>(attempt: (client: EndpointClient) => Promise<T>) => Promise<T>;

/**
 * The bytes of `target` from `offset`; a negative size is one that nobody knows. A connection cut in the middle is taken up again where it broke, at whatever host
 * has the rest: the content is named by its digest, so all hosts have the same.
 */
export async function download(
  firstOf: FirstOf,
  repository: string,
  target: Descriptor,
  offset: number,
  retries: RetryPolicy,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  if (target.size >= 0 && offset > target.size)
    throw new HakoError('out-of-range', `blob "${target.digest}": offset ${offset} is past its ${target.size} bytes`);
  if (offset === target.size) return nothing();
  const open = async (at: number): Promise<Opened> => {
    try {
      return await firstOf((client) => openAt(client, repository, target, at, signal));
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
      return await openElsewhere(firstOf, repository, target, at, error, signal);
    }
  };
  // The first answer is waited for, so that "not found" comes before the caller makes room for the bytes.
  const first = await open(offset);
  return read(first, open, target, offset, retries, signal);
}

interface Opened {
  readonly host: string;
  readonly response: HttpResponse;
  /** Bytes at the head that we have already: not every registry knows Range. */
  readonly skip: number;
}

/** A foreign layer that no registry has is fetched from where its manifest says, without any login of ours. */
async function openElsewhere(
  firstOf: FirstOf,
  repository: string,
  target: Descriptor,
  offset: number,
  error: unknown,
  signal: AbortSignal,
): Promise<Opened> {
  let last = error;
  const urls = /\.(?:nondistributable|foreign)\./.test(target.mediaType) ? (target.urls ?? []) : [];
  for (const url of urls) {
    const address = URL.parse(url);
    if (address === null) continue;
    address.username = '';
    address.password = '';
    try {
      return await firstOf((client) => openAt(client, repository, target, offset, signal, address));
    } catch (failure) {
      signal.throwIfAborted();
      last = failure;
    }
  }
  throw last;
}

async function openAt(
  client: EndpointClient,
  repository: string,
  target: Descriptor,
  offset: number,
  signal: AbortSignal,
  elsewhere?: URL,
): Promise<Opened> {
  const manifest = isManifestType(target.mediaType);
  const response = await client.ask(
    {
      method: 'GET',
      to: elsewhere ?? `${manifest ? 'manifests' : 'blobs'}/${target.digest}`,
      headers: {
        accept: manifest ? [target.mediaType, ...manifestTypes].join(', ') : '*/*',
        // A proxy that compresses on its own would spoil size and digest.
        'accept-encoding': 'identity',
        ...(offset > 0 ? { range: `bytes=${offset}-` } : {}),
      },
    },
    signal,
  );
  const { host } = elsewhere ?? client.endpoint;
  if (response.status === 200) return { host, response, skip: offset };
  if (response.status === 206 && offset > 0) {
    const start = /^bytes (\d+)-/.exec(response.header('content-range') ?? '')?.[1];
    if (Number(start) === offset) return { host, response, skip: 0 };
    response.discard();
    throw new HakoError(
      'unavailable',
      `registry "${host}": asked for ${target.digest} from byte ${offset}, it answers with another range`,
    );
  }
  throw await client.failure(response, `${manifest ? 'manifest' : 'blob'} "${target.digest}" of "${repository}"`);
}

async function* read(
  first: Opened,
  open: (at: number) => Promise<Opened>,
  target: Descriptor,
  offset: number,
  retries: RetryPolicy,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let opened: Opened | undefined = first;
  let received = offset;
  for (let attempt = 1; ; attempt++) {
    try {
      opened ??= await open(received);
      const { host } = opened;
      for await (const chunk of trimmed(opened)) {
        received += chunk.length;
        if (target.size >= 0 && received > target.size) {
          throw new HakoError(
            'failed-precondition',
            `registry "${host}": sends more than the ${target.size} bytes of "${target.digest}"`,
          );
        }
        attempt = 1;
        yield chunk;
      }
      if (received === target.size || target.size < 0) return;
      throw new NetworkError(
        `registry "${host}": ended after ${received} of ${target.size} bytes of "${target.digest}"`,
        true,
      );
    } catch (error) {
      // A registry that is being restarted refuses for a moment: in the middle of a download that is worth a wait.
      if (!(error instanceof NetworkError) || attempt >= retries.attempts) throw error;
    }
    opened = undefined;
    await pause(retries, attempt, signal);
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function* trimmed({ response, skip }: Opened): AsyncGenerator<Uint8Array> {
  let left = skip;
  for await (const chunk of response.body()) {
    if (left >= chunk.length) left -= chunk.length;
    else {
      yield left > 0 ? chunk.subarray(left) : chunk;
      left = 0;
    }
  }
}
