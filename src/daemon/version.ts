import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { home } from '#base/home.ts';

const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as { version: string };

/** Our own version. */
export const version = manifest.version;

/**
 * What the containerd door answers: the release whose API we match, with ours as build metadata. Clients parse it as a
 * semantic version and choose what they ask for by it.
 */
export const containerdVersion = `v2.1.0+hakobune.${version}`;
