import type https from 'node:https';
import tls from 'node:tls';
import { HakoError } from '#base/errors.ts';

/** How to trust a host and be trusted by it. Contents, not paths, so that a changed file makes another connection. */
export interface TlsSettings {
  readonly ca: readonly string[];
  readonly client: readonly { readonly cert: string; readonly key: string }[];
  readonly skipVerify: boolean;
}

export const plainTls: TlsSettings = { ca: [], client: [], skipVerify: false };

let trusted: readonly string[] | undefined;

/** The authorities this machine trusts, as containerd and Docker have it; Node's own where it has none. */
function trustedAuthorities(): readonly string[] {
  if (trusted === undefined) {
    const system = tls.getCACertificates('system');
    trusted = [
      ...new Set([
        ...(system.length > 0 ? system : tls.getCACertificates('bundled')),
        ...tls.getCACertificates('extra'),
      ]),
    ];
  }
  return trusted;
}

/** What an agent needs to be told. failed-precondition when a certificate cannot be read. */
export function secureOptions({ ca, client, skipVerify }: TlsSettings): https.AgentOptions {
  try {
    const secureContext = tls.createSecureContext({
      ca: [...trustedAuthorities(), ...ca],
      ...(client.length > 0 ? { cert: client.map(({ cert }) => cert), key: client.map(({ key }) => key) } : {}),
    });
    return { secureContext, rejectUnauthorized: !skipVerify };
  } catch (error) {
    throw new HakoError(
      'failed-precondition',
      `a certificate or key of hosts.toml cannot be read: ${(error as Error).message}`,
      error,
    );
  }
}
