/** The text of what a container finds at /etc/hosts, /etc/hostname and /etc/resolv.conf. */

/** `extra` are `name:address` pairs (`--add-host`); `addresses` the container's own, empty before it has one. */
export function hostsFile(options: {
  readonly hostname: string;
  readonly domainname: string;
  readonly addresses: readonly string[];
  readonly extra: readonly string[];
}): string {
  const { hostname, domainname, addresses, extra } = options;
  const lines = [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'ff00::\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
  ];
  for (const entry of extra) {
    // Only the first colon separates: the address may be an IPv6 one. docker 27 and later may send `=`.
    const at = entry.search(/[:=]/);
    if (at > 0) lines.push(`${entry.slice(at + 1).replace(/^\[(.*)\]$/, '$1')}\t${entry.slice(0, at)}`);
  }
  const names = domainname === '' ? hostname : `${hostname}.${domainname} ${hostname}`;
  for (const address of addresses) lines.push(`${address}\t${names}`);
  return `${lines.join('\n')}\n`;
}

export interface ResolverOptions {
  /** The host's own file. */
  readonly host: string;
  /** Whether the container shares the host's network, where the host's resolvers can be reached as they are. */
  readonly hostNetwork: boolean;
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** Public resolvers that Docker falls back to when all of the host's are on its loopback. */
const fallbackServers = ['8.8.8.8', '8.8.4.4'];
const loopback = /^(127\.|::1$)/;

/** The host's resolvers without those on its loopback, which no other network namespace reaches. */
export function resolvConf({ host, hostNetwork, servers, search, options }: ResolverOptions): string {
  if (hostNetwork && servers.length === 0 && search.length === 0 && options.length === 0) return host;
  const values = (key: string): string[] =>
    host.split('\n').flatMap((line) => {
      const [first, ...rest] = line.trim().split(/\s+/);
      return first === key ? rest : [];
    });
  const reachable = values('nameserver').filter((server) => hostNetwork || !loopback.test(server));
  const nameservers = servers.length > 0 ? servers : reachable.length > 0 ? reachable : fallbackServers;
  const domains = search.length > 0 ? search.filter((domain) => domain !== '.') : values('search');
  const chosen = options.length > 0 ? options : values('options');
  return [
    ...nameservers.map((server) => `nameserver ${server}`),
    ...(domains.length > 0 ? [`search ${domains.join(' ')}`] : []),
    ...(chosen.length > 0 ? [`options ${chosen.join(' ')}`] : []),
    '',
  ].join('\n');
}
