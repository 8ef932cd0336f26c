import { createHash, type Hash } from 'node:crypto';
import { formatDigest, type DigestAlgorithm } from '#base/digest.ts';
import { serveThread } from '#base/threads.ts';

/** Hashes what passes through, beside the event loop. One thread serves many streams. */

export type HashRequest =
  | { readonly do: 'begin'; readonly id: number; readonly algorithm: DigestAlgorithm }
  /** `buffer` is the caller's again when this is answered. */
  | { readonly do: 'update'; readonly id: number; readonly buffer: SharedArrayBuffer; readonly length: number }
  | { readonly do: 'end'; readonly id: number };

const hashes = new Map<number, { readonly algorithm: DigestAlgorithm; readonly hash: Hash }>();

serveThread((request: HashRequest): string | undefined => {
  if (request.do === 'begin') {
    hashes.set(request.id, { algorithm: request.algorithm, hash: createHash(request.algorithm) });
    return undefined;
  }
  const found = hashes.get(request.id);
  if (found === undefined) return undefined;
  if (request.do === 'update') {
    found.hash.update(new Uint8Array(request.buffer, 0, request.length));
    return undefined;
  }
  hashes.delete(request.id);
  return formatDigest(found.hash, found.algorithm);
});
