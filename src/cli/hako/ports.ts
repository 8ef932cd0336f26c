import { UsageFailure } from '../failure.ts';

export interface Published {
  /** `80/tcp` to where on the host. */
  readonly bindings: Record<string, { HostIp: string; HostPort: string }[]>;
  readonly exposed: Record<string, object>;
}

const form = /^(?:(\[[0-9a-fA-F:.]+\]|\d+\.\d+\.\d+\.\d+):)?(?:(\d+(?:-\d+)?)?:)?(\d+(?:-\d+)?)(?:\/(tcp|udp|sctp))?$/;

/**
 * `-p [[IP:][HOST]:]CONTAINER[/PROTO]`, with ranges of equal length on both sides; one container port may also choose among a
 * range of the host's. Also the long form `target=80,published=8080`.
 */
export function publish(texts: readonly string[], exposes: readonly string[]): Published {
  const bindings: Published['bindings'] = {};
  const exposed: Published['exposed'] = {};
  for (const text of texts) {
    for (const [port, HostIp, HostPort] of parsePublished(text.includes('=') ? fromLong(text) : text, text)) {
      (bindings[port] ??= []).push({ HostIp, HostPort });
      exposed[port] = {};
    }
  }
  for (const text of exposes) {
    const found = /^(\d+(?:-\d+)?)(?:\/(tcp|udp|sctp))?$/.exec(text);
    if (found === null) throw new UsageFailure(`invalid argument "${text}" for --expose: must be PORT[-PORT][/PROTO]`);
    for (const port of range(found[1] ?? '', text)) exposed[`${port}/${found[2] ?? 'tcp'}`] = {};
  }
  return { bindings, exposed };
}

function parsePublished(text: string, written: string): [port: string, ip: string, host: string][] {
  const found = form.exec(text);
  if (found === null) throw wrong(written, 'must be [[IP:]HOST:]CONTAINER[/PROTO]');
  const [, ip = '', host = '', inside = '', protocol = 'tcp'] = found;
  const ports = range(inside, written);
  const address = ip.replace(/^\[|\]$/g, '');
  if (host === '') return ports.map((port) => [`${port}/${protocol}`, address, '']);
  const hosts = range(host, written);
  if (ports.length === 1 && hosts.length > 1) return [[`${ports[0]}/${protocol}`, address, host]];
  if (ports.length !== hosts.length) throw wrong(written, 'the ranges of host and container differ in length');
  return ports.map((port, index) => [`${port}/${protocol}`, address, String(hosts[index])]);
}

function fromLong(text: string): string {
  const fields = new Map(text.split(',').map((field) => field.split('=', 2) as [string, string]));
  for (const name of fields.keys()) {
    if (!['target', 'published', 'protocol', 'mode'].includes(name)) throw wrong(text, `unknown field "${name}"`);
  }
  if (fields.get('mode') === 'ingress') throw wrong(text, 'mode "ingress" belongs to Swarm services');
  const published = fields.get('published');
  return `${published === undefined ? '' : `${published}:`}${fields.get('target') ?? ''}/${fields.get('protocol') ?? 'tcp'}`;
}

function range(text: string, written: string): number[] {
  const [first = '', last = first] = text.split('-');
  const [from, to] = [Number(first), Number(last)];
  if (from < 1 || to > 65_535 || to < from) throw wrong(written, 'ports are 1 to 65535, ranges upwards');
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

const wrong = (text: string, why: string): UsageFailure => new UsageFailure(`invalid port "${text}": ${why}`);
