import { command } from '../../command.ts';
import { Failure } from '../../failure.ts';
import { print } from '../../output.ts';
import { drawTable } from '../../table.ts';
import type { Value } from '../../template-values.ts';
import { hostPort } from '../facts.ts';
import { filters } from '../filters.ts';
import { moment } from '../moment.ts';

export const top = command({
  usage: 'top CONTAINER [ps OPTIONS]',
  summary: 'Display the running processes of a container',
  flags: { json: { kind: 'on', help: "Print the API's answer as JSON" } },
  takes: [1, Infinity],
  interspersed: false,
  examples: [['top web -o pid,args', 'chosen columns']],
  async run({ client }, { flags, rest }) {
    const [name = '', ...options] = rest;
    const found = await client.top(name, options.length === 0 ? undefined : options.join(' '));
    if (flags.json) return print(1, `${JSON.stringify(found, null, 2)}\n`);
    const columns = found.Titles.map((title, index) => ({ title, cell: (row: string[]) => row[index] ?? '' }));
    print(1, drawTable(columns, found.Processes));
  },
});

export const port = command({
  usage: 'port CONTAINER [PRIVATE_PORT[/PROTO]]',
  summary: 'List port mappings of a container',
  flags: { json: { kind: 'on', help: 'Print the mappings as JSON' } },
  takes: [1, 2],
  examples: [['port web 80', 'where its port 80 is on this machine']],
  async run({ client }, { flags, rest }) {
    const [name = '', asked] = rest;
    const ports = (await client.inspectContainer(name)).NetworkSettings?.Ports ?? {};
    if (flags.json) return print(1, `${JSON.stringify(ports, null, 2)}\n`);
    if (asked === undefined) {
      const lines = Object.entries(ports).flatMap(([inside, bindings]) =>
        (bindings ?? []).map((at) => `${inside} -> ${hostPort(at.HostIp, at.HostPort)}`),
      );
      return print(
        1,
        lines
          .sort()
          .map((line) => `${line}\n`)
          .join(''),
      );
    }
    const bindings = ports[asked.includes('/') ? asked : `${asked}/tcp`] ?? [];
    if (bindings.length === 0) throw new Failure(1, `no public port '${asked}' published for ${name}`);
    print(1, bindings.map((at) => `${hostPort(at.HostIp, at.HostPort)}\n`).join(''));
  },
});

export const events = command({
  usage: 'events [OPTIONS]',
  summary: 'Get real time events from the daemon',
  flags: {
    filter: { kind: 'many', short: 'f', value: 'filter', help: 'Filter output (type=…, event=…, container=…)' },
    format: { kind: 'one', help: "'json' or a Go template" },
    json: { kind: 'on', help: 'Print a line of JSON for each' },
    since: { kind: 'one', help: 'Show events since a time or a span ago' },
    until: { kind: 'one', help: 'End at a time' },
  },
  takes: [0, 0],
  examples: [['events --filter type=container', 'what happens to containers']],
  async run({ client }, { flags }) {
    const template = flags.format === undefined || flags.format === 'json' ? undefined : flags.format;
    const renderTemplate = template === undefined ? undefined : (await import('../../template.ts')).renderTemplate;
    const query = {
      since: moment('--since', flags.since),
      until: moment('--until', flags.until),
      filters: filters(flags.filter),
    };
    for await (const event of client.events(query)) {
      if (renderTemplate !== undefined && template !== undefined)
        print(1, `${renderTemplate(template, event as Value)}\n`);
      else print(1, `${flags.json || flags.format === 'json' ? JSON.stringify(event) : eventLine(event)}\n`);
    }
  },
});

interface Event {
  readonly Type?: string;
  readonly Action?: string;
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Readonly<Record<string, string>> };
  readonly time?: number;
  readonly timeNano?: number;
}

/** As Docker prints an event: time, type, action, what it is about, and what is known of that. */
function eventLine(event: Event): string {
  const milliseconds = (event.timeNano ?? 0) > 0 ? (event.timeNano ?? 0) / 1e6 : (event.time ?? 0) * 1000;
  const attributes = Object.entries(event.Actor?.Attributes ?? {}).map((pair) => pair.join('='));
  const what = `${new Date(milliseconds).toISOString()} ${event.Type} ${event.Action} ${event.Actor?.ID}`;
  return attributes.length === 0 ? what : `${what} (${attributes.sort().join(', ')})`;
}
