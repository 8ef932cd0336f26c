import { readdir, readFile, stat } from 'node:fs/promises';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { dirname, isAbsolute, join } from 'node:path';
import { parse } from 'smol-toml';
import { parseDuration } from '#base/duration.ts';
import { HakoError } from '#base/errors.ts';
import { nearest } from '#base/nearest.ts';
import { isLoopback } from './http.ts';
import { plainTls, type TlsSettings } from './tls.ts';

const capabilities = ['pull', 'resolve', 'push', 'referrers'] as const;
export type Capability = (typeof capabilities)[number];

/** One place to ask for the images of a registry: the registry itself, or a mirror of it. */
export interface Endpoint {
  /** Up to and with `/v2`, no slash at the end. */
  readonly base: string;
  /** `host[:port]`, for messages and credentials. */
  readonly host: string;
  /** The registry itself, the last in the row. */
  readonly upstream: boolean;
  readonly capabilities: readonly Capability[];
  readonly tls: TlsSettings;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly dialTimeout?: number | undefined;
  readonly httpFallback: boolean;
  /** What a mirror is told in `?ns=`: the registry that is meant. */
  readonly namespace?: string | undefined;
}

export interface HostOverrides {
  readonly plainHttp?: boolean | undefined;
  readonly skipVerify?: boolean | undefined;
  /** Of a registry whose address no file gives. */
  readonly defaultScheme?: 'http' | 'https' | undefined;
}

/**
 * Where to ask for images of `domain`, in order: the mirrors of its `hosts.toml`, then itself. Read anew at each call, so
 * a changed file needs no restart. failed-precondition with file and key when a file is wrong.
 *
 * The format is containerd's (docs/hosts.md there); a directory with Docker's `*.crt`, `*.cert` and `*.key` alone serves,
 * too. Of the directories in `dirs` the first that knows the host wins; `_default` comes after all that name it.
 */
export async function findEndpoints(
  domain: string,
  dirs: readonly string[],
  overrides: HostOverrides,
): Promise<Endpoint[]> {
  const found = (await findDirectory(domain, dirs)) ?? [
    { tls: plainTls, headers: {}, capabilities: [...capabilities] },
  ];
  return found.map((settings, at) => toEndpoint(domain, settings, at === found.length - 1, overrides));
}

/** Settings of one host in a file. Without `url` they belong to the registry's own address. */
interface HostSettings {
  readonly url?: string;
  readonly capabilities: readonly Capability[];
  readonly tls: TlsSettings;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly dialTimeout?: number | undefined;
}

function toEndpoint(domain: string, settings: HostSettings, upstream: boolean, overrides: HostOverrides): Endpoint {
  const { url, headers, dialTimeout } = settings;
  const own = domain === 'docker.io' ? 'registry-1.docker.io' : domain;
  const given = url ?? `${overrides.defaultScheme ?? 'https'}://${own}/v2`;
  const base = upstream && overrides.plainHttp === true ? given.replace(/^https:/, 'http:') : given;
  const { host, hostname } = new URL(base);
  return {
    base,
    host: authority(base, host),
    upstream,
    headers,
    dialTimeout,
    capabilities: url === undefined ? [...capabilities] : settings.capabilities,
    tls: overrides.skipVerify === true ? { ...settings.tls, skipVerify: true } : settings.tls,
    httpFallback: upstream && url === undefined && isLoopback(hostname),
    namespace: host === new URL(`https://${own}`).host || authority(base, host) === own ? undefined : domain,
  };
}

/** As written: `URL` drops the default port, and people look for what they typed. */
const authority = (base: string, host: string): string => /^https?:\/\/([^/]+)/.exec(base)?.[1] ?? host;

async function findDirectory(domain: string, dirs: readonly string[]): Promise<HostSettings[] | undefined> {
  for (const names of [[domain.replace(/:(\d+)$/, '_$1_'), domain], ['_default']]) {
    for (const dir of dirs) {
      for (const name of new Set(names)) {
        const settings = await readDirectory(join(dir, name));
        if (settings !== undefined) return settings;
      }
    }
  }
  return undefined;
}

/** What a directory says of its host, undefined when it is not there or empty. */
async function readDirectory(dir: string): Promise<HostSettings[] | undefined> {
  const file = join(dir, 'hosts.toml');
  const text = await readOptional(file);
  if (text !== undefined && text.trim() !== '') return parseHosts(file, text);
  return readDockerCertificates(dir);
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    // Nobody writes a megabyte of hosts.
    if ((await stat(path)).size > 1024 * 1024)
      throw new HakoError('failed-precondition', `"${path}": larger than 1 MiB`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error instanceof HakoError ? error : unreadable(path, error);
  }
}

const isMissing = (error: unknown): boolean =>
  ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
const unreadable = (path: string, error: unknown): HakoError =>
  new HakoError('failed-precondition', `"${path}": cannot be read: ${(error as Error).message}`, error);

/** Docker's layout: any `.crt` is a CA, `x.cert` with `x.key` a client's pair. */
async function readDockerCertificates(dir: string): Promise<HostSettings[] | undefined> {
  let names: string[];
  try {
    names = (await readdir(dir)).toSorted();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw unreadable(dir, error);
  }
  const ca = await Promise.all(names.filter((name) => name.endsWith('.crt')).map((name) => readPem(join(dir, name))));
  const client = await Promise.all(
    names
      .filter((name) => name.endsWith('.cert'))
      .map(async (name) => {
        const cert = await readPem(join(dir, name));
        const key = `${name.slice(0, -'.cert'.length)}.key`;
        return { cert, key: names.includes(key) ? await readPem(join(dir, key)) : cert };
      }),
  );
  if (ca.length === 0 && client.length === 0) return undefined;
  return [{ tls: { ca, client, skipVerify: false }, headers: {}, capabilities: [...capabilities] }];
}

async function readPem(path: string): Promise<string> {
  const text = await readOptional(path);
  if (text === undefined)
    throw new HakoError('failed-precondition', `"${path}": no such file, though the host's settings name it`);
  if (!text.includes('-----BEGIN ')) throw new HakoError('failed-precondition', `"${path}": holds no PEM block`);
  return text;
}

type Table = Readonly<Record<string, unknown>>;
const isTable = (value: unknown): value is Table =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

const hostKeys = ['capabilities', 'ca', 'client', 'skip_verify', 'header', 'override_path', 'dial_timeout'];

async function parseHosts(file: string, text: string): Promise<HostSettings[]> {
  let root: Table;
  try {
    root = parse(text);
  } catch (error) {
    throw new HakoError('failed-precondition', `"${file}": ${(error as Error).message.split('\n', 1)[0]}`, error);
  }
  const wrong: Wrong = (key, why) => new HakoError('failed-precondition', `"${file}": ${key}: ${why}`);
  const { server, host: hosts = {}, ...own } = root;
  if (server !== undefined && typeof server !== 'string') throw wrong('server', 'must be an address in quotes');
  if (!isTable(hosts)) throw wrong('host', 'must be tables, such as [host."https://mirror"]');
  const settings: HostSettings[] = [];
  for (const [address, table] of Object.entries(hosts)) {
    const at = `host."${address}"`;
    if (!isTable(table)) throw wrong(at, 'must be a table');
    settings.push(await parseHost(file, at, address, table, wrong));
  }
  settings.push(await parseHost(file, '', server === '' ? undefined : server, own, wrong));
  return settings;
}

type Wrong = (key: string, why: string) => HakoError;

async function parseHost(
  file: string,
  at: string,
  address: string | undefined,
  table: Table,
  wrong: Wrong,
): Promise<HostSettings> {
  const key = (name: string): string => (at === '' ? name : `${at}.${name}`);
  for (const name of Object.keys(table)) {
    if (hostKeys.includes(name)) continue;
    // containerd ignores what it does not know, and files are shared with it; a slip of the pen is worth an error.
    const meant = nearest(name, hostKeys);
    if (meant !== undefined) throw wrong(key(name), `unknown key: did you mean ${meant}?`);
  }
  const { skip_verify: skipVerify = false, override_path: overridePath = false, dial_timeout: dial } = table;
  if (typeof skipVerify !== 'boolean') throw wrong(key('skip_verify'), 'must be true or false');
  if (typeof overridePath !== 'boolean') throw wrong(key('override_path'), 'must be true or false');
  const dialTimeout = typeof dial === 'string' ? parseDuration(dial) : undefined;
  if (dial !== undefined && (dialTimeout === undefined || dialTimeout <= 0))
    throw wrong(key('dial_timeout'), 'must be a time span such as "10s"');
  return {
    ...(address === undefined
      ? {}
      : { url: parseAddress(address, overridePath, (why) => wrong(at === '' ? 'server' : at, why)) }),
    capabilities: parseCapabilities(table['capabilities'], (why) => wrong(key('capabilities'), why)),
    tls: {
      ca: await Promise.all(
        parseCa(table['ca'], (why) => wrong(key('ca'), why)).map((path) => readPem(beside(file, path))),
      ),
      client: await Promise.all(
        parseClient(table['client'], (why) => wrong(key('client'), why)).map(async ([cert, privateKey]) => ({
          cert: await readPem(beside(file, cert)),
          key: await readPem(beside(file, privateKey)),
        })),
      ),
      skipVerify,
    },
    headers: parseHeaders(table['header'], (why) => wrong(key('header'), why)),
    dialTimeout,
  };
}

const beside = (file: string, path: string): string => (isAbsolute(path) ? path : join(dirname(file), path));

type Refuse = (why: string) => HakoError;

function parseAddress(address: string, overridePath: boolean, wrong: Refuse): string {
  let url: URL;
  try {
    url = new URL(/^https?:\/\//i.test(address) ? address : `https://${address}`);
  } catch {
    throw wrong(`"${address}" is no address: want http:// or https://, a host and perhaps a port and a path`);
  }
  if (url.username !== '' || url.password !== '')
    throw wrong('credentials do not belong here: use the config.json of Docker');
  const path = url.pathname.replace(/\/+/g, '/').replace(/\/$/, '');
  const written = /^(?:https?:\/\/)?([^/?#]+)/i.exec(address)?.[1] ?? url.host;
  return `${url.protocol}//${written}${overridePath || path.endsWith('/v2') ? path : `${path}/v2`}`;
}

function parseCapabilities(value: unknown, wrong: Refuse): Capability[] {
  if (value === undefined) return [...capabilities];
  if (!Array.isArray(value)) throw wrong(`must be a list of ${capabilities.join(', ')}`);
  if (value.length === 0) return [...capabilities];
  return value.map((one: unknown) => {
    const known = capabilities.find((name) => typeof one === 'string' && name === one.toLowerCase());
    if (known === undefined) throw wrong(`unknown capability "${String(one)}": want ${capabilities.join(', ')}`);
    return known;
  });
}

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string');

function parseCa(value: unknown, wrong: Refuse): string[] {
  if (value === undefined) return [];
  if (typeof value === 'string') return [value];
  if (isStrings(value)) return value;
  throw wrong('must be a file name or a list of them');
}

/** "both.pem", ["both.pem", …] or [["cert.pem", "key.pem"], …]. */
function parseClient(value: unknown, wrong: Refuse): [cert: string, key: string][] {
  if (value === undefined) return [];
  if (typeof value === 'string') return [[value, value]];
  if (!Array.isArray(value)) throw wrong('must be a file name, or a list of names or of [certificate, key] pairs');
  return value.map((one: unknown): [string, string] => {
    if (typeof one === 'string') return [one, one];
    if (isStrings(one) && one.length === 2) return [one[0] ?? '', one[1] ?? ''];
    throw wrong('a pair is [certificate, key]');
  });
}

function parseHeaders(value: unknown, wrong: Refuse): Record<string, string[]> {
  if (value === undefined) return {};
  if (!isTable(value)) throw wrong('must be a table of names and values');
  return Object.fromEntries(
    Object.entries(value).map(([name, content]) => {
      const values = typeof content === 'string' ? [content] : content;
      if (!isStrings(values)) throw wrong(`"${name}" must be text or a list of texts`);
      try {
        validateHeaderName(name);
        for (const one of values) validateHeaderValue(name, one);
      } catch {
        // Neither the value nor a part of it goes into the message: headers hold secrets.
        throw wrong(`"${name}": name or value has characters that a header cannot have`);
      }
      return [name, values];
    }),
  );
}

/** invalid-argument when a client's headers hold what no header can. */
export function checkHeaders(headers: Readonly<Record<string, readonly string[]>>): void {
  for (const [name, values] of Object.entries(headers)) {
    try {
      validateHeaderName(name);
      for (const one of values) validateHeaderValue(name, one);
    } catch {
      throw new HakoError(
        'invalid-argument',
        `header "${name}": name or value has characters that a header cannot have`,
      );
    }
  }
}
