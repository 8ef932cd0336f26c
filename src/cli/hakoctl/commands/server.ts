import { introspection } from '#client/containerd/introspection.ts';
import { toDate } from '#client/containerd/times.ts';
import { version as versionService } from '#client/containerd/version.ts';
import { print } from '../../output.ts';
import { ownVersion } from '../../version.ts';
import { command } from '../command.ts';
import { printJson } from '../listing.ts';
import { setTabs, wide } from '../tabs.ts';

export const version = command({
  usage: '[flags]',
  flags: { json: { kind: 'on', help: 'Print JSON' } },
  takes: [0, 0],
  alone: true,
  examples: [['version --json', 'for a program']],
  async run({ door }, { flags }) {
    const client = [
      'Client:',
      `  Version:  ${ownVersion()}`,
      '  Revision: ',
      `  Node version: ${process.version}`,
      '',
      '',
    ];
    // Printed first: it is known, whatever the daemon does.
    if (!flags.json) print(1, client.join('\n'));
    await door.check();
    const [{ version: text, revision }, { uuid }] = await Promise.all([
      versionService(door).version({}),
      introspection(door).server({}),
    ]);
    const server = { version: text, revision, uuid };
    if (flags.json) return printJson({ client: { version: ownVersion(), node: process.version }, server });
    print(1, `Server:\n  Version:  ${text}\n  Revision: ${revision}\n  UUID: ${uuid}\n`);
  },
});

export const info = command({
  usage: '',
  flags: { json: { kind: 'on', hidden: true, help: 'It is JSON anyway' } },
  takes: [0, 0],
  examples: [['info', "the daemon's id and process"]],
  async run({ door }) {
    const { uuid, pid, pidns, deprecations: found } = await introspection(door).server({});
    const warnings = found.map(({ id, message, lastOccurrence: at }) => ({
      id,
      message,
      ...(at && { last_occurrence: { seconds: at.seconds, ...(at.nanos === 0 ? {} : { nanos: at.nanos }) } }),
    }));
    printJson({ server: { uuid, pid, pidns, ...(warnings.length === 0 ? {} : { deprecations: warnings }) } });
  },
});

export const deprecations = command({
  usage: '[flags]',
  flags: {
    format: { kind: 'one', help: "output format to use (Examples: 'default', 'json')" },
    json: { kind: 'on', help: 'Print JSON' },
  },
  takes: [0, 0],
  examples: [['deprecations list', 'before an upgrade']],
  async run({ door }, { flags }) {
    const { deprecations: found } = await introspection(door).server({});
    const rows = found.map(({ id, message, lastOccurrence }) => ({
      id,
      message,
      lastOccurrence: toDate(lastOccurrence) ?? '0001-01-01T00:00:00Z',
    }));
    if (flags.json) return printJson(rows);
    if (rows.length === 0) return;
    if (flags.format === 'json') return printJson(rows);
    const lines = rows.map((row) => [row.id, row.lastOccurrence, row.message]);
    print(1, setTabs([['ID', 'LAST OCCURRENCE', 'MESSAGE', ''], ...lines], wide));
  },
});
