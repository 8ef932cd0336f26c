import { readFileSync } from 'node:fs';

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Our own version. */
export const version = manifest.version;

/**
 * What the containerd door answers: the release whose API we match, with ours as build metadata. Clients parse it as a
 * semantic version and choose what they ask for by it.
 */
export const containerdVersion = `v2.1.0+hakobune.${version}`;
