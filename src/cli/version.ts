import { readFileSync } from 'node:fs';

/** Put in by the bundler. */
declare const HAKOBUNE_VERSION: string | undefined;

/** Our own version: built in, or read from the package when the sources run as they are. */
export function ownVersion(): string {
  if (typeof HAKOBUNE_VERSION === 'string') return HAKOBUNE_VERSION;
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return (manifest as { version: string }).version;
}
