import { invalid } from '#base/errors.ts';

export const defaultHost = 'unix:///run/hakobune/docker.sock';

/** Where the daemon listens: a unix socket or a TCP port. */
export type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** The address to use, in its written form: what was asked for, then `HAKO_HOST`, then `DOCKER_HOST`, then our own. */
export function chooseHost(
  asked: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  for (const host of [asked, environment['HAKO_HOST'], environment['DOCKER_HOST']]) {
    if (host !== undefined && host !== '') return host;
  }
  return defaultHost;
}

/** Reads `unix:///path`, `/path`, `tcp://host:port` and `http://host:port`. */
export function parseHost(host: string): Address {
  if (host.startsWith('/')) return { path: host };
  const found = /^([a-z]+):\/\/(.*)$/.exec(host);
  const [, scheme, rest = ''] = found ?? [];
  if (scheme === 'unix' && rest.startsWith('/')) return { path: rest };
  if (scheme === 'tcp' || scheme === 'http') return parseTcp(host, rest);
  throw invalid(`host "${host}": must be unix:///PATH or tcp://HOST:PORT`);
}

function parseTcp(host: string, rest: string): Address {
  const found = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:/[\]]+))?:(\d{1,5})\/?$/.exec(rest);
  const port = Number(found?.[3]);
  if (found === null || port < 1 || port > 65_535) throw invalid(`host "${host}": must be tcp://HOST:PORT`);
  return { host: found[1] ?? found[2] ?? '127.0.0.1', port };
}
