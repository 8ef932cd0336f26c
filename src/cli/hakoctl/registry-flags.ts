import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseReference } from '#base/reference.ts';
import { registryEnd, type Credentials, type End } from '#client/containerd/transfer.ts';
import type { Containerd } from '#client/containerd.ts';
import { UsageFailure } from '../failure.ts';
import type { Flags, Values } from '../flags.ts';
import { print } from '../output.ts';
import { readSecret } from './secret.ts';

/** How the daemon is to speak with a registry. */
export const registryFlags = {
  'skip-verify': { kind: 'on', short: 'k', help: 'Skip SSL certificate validation' },
  'plain-http': { kind: 'on', help: 'Allow connections using plain HTTP' },
  user: { kind: 'one', short: 'u', help: 'User[:password] Registry user and password' },
  refresh: { kind: 'one', help: 'Refresh token for authorization server' },
  'hosts-dir': { kind: 'one', help: 'Custom hosts configuration directory' },
  tlscacert: { kind: 'one', help: 'Path to TLS root CA' },
  tlscert: { kind: 'one', help: 'Path to TLS client certificate' },
  tlskey: { kind: 'one', help: 'Path to TLS client key' },
  'http-dump': { kind: 'on', help: 'Dump all HTTP request/responses when interacting with container registry' },
  'http-trace': { kind: 'on', help: 'Enable HTTP tracing for registry interactions' },
} as const satisfies Flags;

type RegistryValues = Values<typeof registryFlags>;

/** What `--local` means here, for the help of each command that takes it. */
export const localHelp = 'As ctr has it; here the daemon does the work all the same';

/** The registry's end of a transfer, as the flags say. */
export async function registryOf(
  door: Containerd,
  reference: string,
  flags: RegistryValues,
  undo: DisposableStack,
): Promise<End> {
  return registryEnd(
    door,
    {
      reference,
      credentials: await credentialsOf(flags),
      hostDir: hostsDirectory(reference, flags, undo),
      scheme: flags['plain-http'] ? 'http' : undefined,
      dump: flags['http-dump'],
      trace: flags['http-trace'],
      onLog: (text) => print(2, Buffer.from(text).toString()),
    },
    undo,
  );
}

/** From `--user` (asking for a password that is missing) or `--refresh`; undefined leaves it to the daemon. */
export async function credentialsOf({ user = '', refresh = '' }: RegistryValues): Promise<Credentials | undefined> {
  if (user === '') return refresh === '' ? undefined : { username: '', secret: refresh };
  const colon = user.indexOf(':');
  const username = colon > 0 ? user.slice(0, colon) : user;
  const given = colon > 0 ? user.slice(colon + 1) : '';
  return { username, secret: given === '' ? await readSecret('Password: ') : given };
}

/**
 * The transfer service knows no TLS settings, but a directory of hosts' configuration: theirs are written into one for
 * this transfer, where the daemon on the same machine reads it.
 */
export function hostsDirectory(reference: string, flags: RegistryValues, undo: DisposableStack): string | undefined {
  const { tlscacert, tlscert, tlskey, 'skip-verify': skip, 'hosts-dir': asked } = flags;
  if ((tlscert === undefined) !== (tlskey === undefined))
    throw new UsageFailure('flags --tlscert and --tlskey must be set together', 1);
  if (!skip && tlscacert === undefined && tlscert === undefined) return asked;
  if (asked !== undefined)
    throw new UsageFailure('--hosts-dir and TLS flags exclude each other: put them into its hosts.toml', 1);
  const { domain } = parseReference(reference);
  const path = (file: string): string => JSON.stringify(realpathSync(file));
  const server = `${flags['plain-http'] ? 'http' : 'https'}://${domain === 'docker.io' ? 'registry-1.docker.io' : domain}`;
  const lines = [
    `server = ${JSON.stringify(server)}`,
    `[host.${JSON.stringify(server)}]`,
    'capabilities = ["pull", "resolve", "push"]',
    ...(skip ? ['skip_verify = true'] : []),
    ...(tlscacert === undefined ? [] : [`ca = ${path(tlscacert)}`]),
    ...(tlscert === undefined || tlskey === undefined ? [] : [`client = [[${path(tlscert)}, ${path(tlskey)}]]`]),
  ];
  const root = undo.adopt(mkdtempSync(join(tmpdir(), 'hakoctl-hosts-')), (made) => {
    rmSync(made, { recursive: true, force: true });
  });
  mkdirSync(join(root, domain));
  writeFileSync(join(root, domain, 'hosts.toml'), `${lines.join('\n')}\n`);
  return root;
}
