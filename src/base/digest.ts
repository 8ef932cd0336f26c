import { createHash, type Hash } from 'node:crypto';
import { invalid } from './errors.ts';

/** The algorithms of OCI image-spec, descriptor.md, that we take. sha256 is what everyone uses and what we make. */
export const digestAlgorithms = ['sha256', 'sha512'] as const;
export type DigestAlgorithm = (typeof digestAlgorithms)[number];

const hexLengths: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 };
const grammar = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

export interface ParsedDigest {
  readonly algorithm: DigestAlgorithm;
  /** Lower case. Safe as a file name. */
  readonly hex: string;
}

const shown = (text: string): string => (text.length > 160 ? `${text.slice(0, 160)}…` : text);

/** Takes a digest apart. invalid-argument in the words containerd's clients know. */
export function parseDigest(text: string): ParsedDigest {
  const colon = text.indexOf(':');
  if (colon <= 0 || text.length > 256 || !grammar.test(text))
    throw invalid(`invalid checksum digest format: "${shown(text)}"`);
  const algorithm = digestAlgorithms.find((known) => known === text.slice(0, colon));
  if (algorithm === undefined) throw invalid(`unsupported digest algorithm: "${shown(text)}"`);
  const hex = text.slice(colon + 1);
  if (hex.length !== hexLengths[algorithm]) throw invalid(`invalid checksum digest length: "${shown(text)}"`);
  if (!/^[0-9a-f]+$/.test(hex)) throw invalid(`invalid checksum digest format: "${shown(text)}"`);
  return { algorithm, hex };
}

/** Whether `text` is a digest we take. */
export function isDigest(text: string): boolean {
  try {
    parseDigest(text);
    return true;
  } catch {
    return false;
  }
}

/** The sha256 digest of bytes that are at hand. For small things only: it runs on the caller's thread. */
export const digestOf = (data: Uint8Array | string): string => formatDigest(createHash('sha256').update(data));

/** Ends a sha256 hash and words it as a digest. */
export const formatDigest = (hash: Hash, algorithm: DigestAlgorithm = 'sha256'): string =>
  `${algorithm}:${hash.digest('hex')}`;
