import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseReference } from '#base/reference.ts';

/** Docker Hub's credentials are kept under the address of its old index. */
const hubKey = 'https://index.docker.io/v1/';

/**
 * The value of `X-Registry-Auth` for an image, from Docker's `config.json`; undefined when it knows none. Credential helpers are
 * the daemon's business.
 */
export function registryAuth(
  image: string,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const directory = environment['DOCKER_CONFIG'] ?? join(environment['HOME'] ?? '/', '.docker');
  let auths: unknown;
  try {
    auths = (JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as { auths?: unknown }).auths;
  } catch {
    return undefined;
  }
  const { domain } = parseReference(image);
  const known = typeof auths === 'object' && auths !== null ? (auths as Record<string, unknown>) : {};
  const found = known[domain === 'docker.io' ? hubKey : domain] ?? known[`https://${domain}`];
  if (typeof found !== 'object' || found === null) return undefined;
  const { auth, identitytoken } = found as { auth?: unknown; identitytoken?: unknown };
  if (typeof auth !== 'string' && typeof identitytoken !== 'string') return undefined;
  return Buffer.from(JSON.stringify({ auth, identitytoken, serveraddress: domain })).toString('base64url');
}
