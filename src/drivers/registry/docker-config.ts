import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HakoError } from '#base/errors.ts';
import type { Credentials } from '#core/registry.ts';

/** Under this name Docker keeps the login of Docker Hub. */
const hubKey = 'https://index.docker.io/v1/';
const helperTimeout = 30_000;
const maxOutput = 1024 * 1024;

/** Where Docker's own command line would look. */
export const defaultDockerConfig = (): string =>
  join(process.env['DOCKER_CONFIG'] ?? join(process.env['HOME'] ?? homedir(), '.docker'), 'config.json');

interface DockerConfig {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

interface AuthEntry {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
}

/**
 * The login for `host` in Docker's config.json: by its helper, then by the common store, then as written there.
 * Undefined when nobody is logged in. The file is read anew each time, so a login counts at once.
 */
export async function dockerCredentials(
  path: string,
  host: string,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const config = await readConfig(path);
  if (config === undefined) return undefined;
  const hub = host === 'docker.io' || host === 'registry-1.docker.io' || host === 'index.docker.io';
  const server = hub ? hubKey : host;
  const helper =
    config.credHelpers?.[server] ?? (hub ? config.credHelpers?.['docker.io'] : undefined) ?? config.credsStore;
  if (typeof helper === 'string' && helper !== '') {
    const credentials = await askHelper(helper, server, signal);
    if (credentials !== undefined) return credentials;
  }
  const entry = findEntry(config.auths ?? {}, server);
  return entry === undefined ? undefined : readEntry(path, server, entry);
}

async function readConfig(path: string): Promise<DockerConfig | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw new HakoError('failed-precondition', `"${path}": cannot be read: ${(error as Error).message}`, error);
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch {
    // The parser's message quotes what it read, which may be a password: say only that it is no JSON.
  }
  throw new HakoError('failed-precondition', `"${path}": is not a JSON object`);
}

/** Keys are host names, or addresses with scheme and path from old days. */
function findEntry(auths: Readonly<Record<string, AuthEntry>>, server: string): AuthEntry | undefined {
  if (Object.hasOwn(auths, server)) return auths[server];
  const bare = (key: string): string => key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  const key = Object.keys(auths).find((one) => bare(one) === bare(server));
  return key === undefined ? undefined : auths[key];
}

function readEntry(path: string, server: string, entry: AuthEntry): Credentials | undefined {
  let { username = '', password = '' } = entry;
  const { identitytoken = '', auth = '' } = entry;
  if (auth !== '') {
    const decoded = Buffer.from(auth, 'base64').toString('utf8');
    const colon = decoded.indexOf(':');
    if (colon < 0)
      throw new HakoError('failed-precondition', `"${path}": auths."${server}".auth is not base64 of user:password`);
    username = decoded.slice(0, colon);
    // Old versions of Docker padded with zeroes.
    password = decoded.slice(colon + 1).replace(/\0+$/, '');
  }
  if (identitytoken !== '') return { username, password: '', identityToken: identitytoken };
  return username === '' ? undefined : { username, password };
}

/** Asks `docker-credential-NAME get`, the protocol of docker/docker-credential-helpers. What it says is never shown. */
async function askHelper(name: string, server: string, signal: AbortSignal): Promise<Credentials | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
    throw new HakoError('failed-precondition', `credential helper "${name}": not a name`);
  const program = `docker-credential-${name}`;
  const { code, output } = await runHelper(program, server, signal);
  if (code !== 0) {
    if (/credentials not found/i.test(output)) return undefined;
    throw new HakoError('unavailable', `credential helper "${program}": ended with status ${code} for "${server}"`);
  }
  let answer: { Username?: unknown; Secret?: unknown };
  try {
    answer = JSON.parse(output) as typeof answer;
  } catch {
    throw new HakoError('unavailable', `credential helper "${program}": its answer for "${server}" is not JSON`);
  }
  const { Username: username, Secret: secret } = answer;
  if (typeof username !== 'string' || typeof secret !== 'string' || secret === '') return undefined;
  return username === '<token>'
    ? { username: '', password: '', identityToken: secret }
    : { username, password: secret };
}

function runHelper(
  program: string,
  server: string,
  signal: AbortSignal,
): Promise<{ code: number | null; output: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number | null; output: string }>();
  const limit = AbortSignal.any([signal, AbortSignal.timeout(helperTimeout)]);
  // Its standard error is not ours to show either, so it goes nowhere.
  const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], signal: limit, killSignal: 'SIGKILL' });
  const chunks: Buffer[] = [];
  let size = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxOutput) child.kill('SIGKILL');
    else chunks.push(chunk);
  });
  child.once('error', (error: NodeJS.ErrnoException) => {
    if (signal.aborted) reject(signal.reason);
    else if (limit.aborted)
      reject(
        new HakoError(
          'unavailable',
          `credential helper "${program}": no answer within ${helperTimeout / 1000} seconds`,
        ),
      );
    else if (error.code === 'ENOENT')
      reject(
        new HakoError('unavailable', `credential helper "${program}": not installed, though config.json names it`),
      );
    else
      reject(
        new HakoError('unavailable', `credential helper "${program}": cannot be started: ${error.message}`, error),
      );
  });
  child.once('close', (code) => resolve({ code, output: Buffer.concat(chunks).toString('utf8') }));
  // A helper that does not read its input is its own fault.
  child.stdin.on('error', () => {});
  child.stdin.end(server);
  return promise;
}
