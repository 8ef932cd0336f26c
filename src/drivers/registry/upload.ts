import { codeOf, HakoError } from '#base/errors.ts';
import type { Descriptor, Digest } from '#core/images.ts';
import type { EndpointClient } from './endpoint-client.ts';
import { NetworkError } from './errors.ts';
import type { HttpResponse } from './response.ts';
import { pause, type RetryPolicy } from './retry.ts';

const success = (status: number): boolean => status >= 200 && status < 300;

/** Sends a blob in one piece (distribution spec, "Pushing blobs"), from its start again when the connection breaks. */
export async function uploadBlob(
  client: EndpointClient,
  repository: string,
  target: Descriptor,
  data: () => AsyncIterable<Uint8Array>,
  from: string | undefined,
  retries: RetryPolicy,
  signal: AbortSignal,
): Promise<'pushed' | 'exists' | 'mounted'> {
  const what = `blob "${target.digest}" of "${repository}"`;
  const there = await client.ask({ method: 'HEAD', to: `blobs/${target.digest}` }, signal);
  there.discard();
  if (there.status === 200) return 'exists';
  if (there.status === 401 || there.status === 403) throw await client.failure(there, `"${repository}"`);
  for (let attempt = 1; ; attempt++) {
    const started = await begin(client, target, from, what, signal);
    if (started === 'mounted') return 'mounted';
    try {
      const response = await client.ask(
        {
          method: 'PUT',
          to: started,
          query: { digest: target.digest },
          headers: { 'content-type': 'application/octet-stream', 'content-length': String(target.size) },
          body: data,
          once: true,
        },
        signal,
      );
      if (!success(response.status)) throw await client.failure(response, what);
      response.discard();
      return 'pushed';
    } catch (error) {
      const passing = error instanceof NetworkError ? error.retry : codeOf(error) === 'unavailable';
      if (!passing || attempt >= retries.attempts) throw error;
    }
    await pause(retries, attempt, signal);
  }
}

/** Opens an upload session and gives its address, or finds that the blob could be had from `from`. */
async function begin(
  client: EndpointClient,
  target: Descriptor,
  from: string | undefined,
  what: string,
  signal: AbortSignal,
): Promise<URL | 'mounted'> {
  const query = from === undefined ? {} : { mount: target.digest, from };
  let response = await client.ask(
    { method: 'POST', to: 'blobs/uploads/', query, headers: { 'content-length': '0' } },
    signal,
  );
  if (from !== undefined && response.status === 201) {
    response.discard();
    return 'mounted';
  }
  // Some registries refuse a mount that they cannot do instead of opening an upload.
  if (from !== undefined && response.status !== 202) {
    response.discard();
    response = await client.ask({ method: 'POST', to: 'blobs/uploads/', headers: { 'content-length': '0' } }, signal);
  }
  if (response.status !== 202) throw await client.failure(response, what);
  response.discard();
  return uploadAddress(client, response);
}

function uploadAddress(client: EndpointClient, response: HttpResponse): URL {
  const location = response.header('location');
  try {
    if (location !== undefined) return new URL(location, response.url);
  } catch {
    // Told below.
  }
  throw new HakoError('unavailable', `registry "${client.endpoint.host}": opens an upload but gives no address for it`);
}

/** Writes a manifest under a tag or its digest. */
export async function uploadManifest(
  client: EndpointClient,
  name: string,
  tag: string,
  target: Descriptor,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<Digest> {
  const headers = { 'content-type': target.mediaType, 'content-length': String(bytes.length) };
  const response = await client.ask({ method: 'PUT', to: `manifests/${tag}`, headers, body: bytes }, signal);
  if (!success(response.status)) throw await client.failure(response, `manifest "${name}"`);
  response.discard();
  const digest = response.header('docker-content-digest');
  if (digest !== undefined && digest !== target.digest) {
    throw new HakoError(
      'data-loss',
      `registry "${client.endpoint.host}": stored manifest "${name}" as ${digest}, sent was ${target.digest}`,
    );
  }
  return target.digest;
}
