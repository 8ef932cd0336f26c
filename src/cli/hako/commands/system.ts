import { HakoError } from '#base/errors.ts';
import { command } from '../../command.ts';
import { Failure } from '../../failure.ts';
import { print } from '../../output.ts';
import type { Value } from '../../template-values.ts';
import { ownVersion } from '../../version.ts';

const shape = {
  format: { kind: 'one', short: 'f', help: "'json' or a Go template" },
  json: { kind: 'on', help: 'Print JSON' },
} as const;

async function printAs(format: string | undefined, json: boolean, data: unknown, plain: () => string): Promise<void> {
  if (json || format === 'json') return print(1, `${JSON.stringify(data)}\n`);
  if (format === undefined || format === '') return print(1, plain());
  const { renderTemplate } = await import('../../template.ts');
  print(1, `${renderTemplate(format, data as Value)}\n`);
}

type Facts = Readonly<Record<string, unknown>>;

export const version = command({
  usage: 'version [OPTIONS]',
  summary: 'Show the versions of client and daemon',
  flags: shape,
  takes: [0, 0],
  examples: [["version -f '{{.Server.Version}}'", "the daemon's alone"]],
  async run({ client }, { flags }) {
    const own = {
      Version: ownVersion(),
      ApiVersion: '1.51',
      NodeVersion: process.version,
      Os: process.platform,
      Arch: process.arch,
    };
    let server: Facts | null = null;
    let failure: unknown;
    try {
      server = await client.version();
    } catch (error) {
      // Our own version is worth knowing even when the daemon is not there.
      if (!(error instanceof HakoError)) throw error;
      failure = error;
    }
    await printAs(flags.format, flags.json, { Client: own, Server: server }, () => describe(own, server));
    if (failure instanceof HakoError) throw new Failure(1, failure.message);
  },
});

function describe(
  own: Readonly<Record<'Version' | 'ApiVersion' | 'NodeVersion' | 'Os' | 'Arch', string>>,
  server: Facts | null,
): string {
  const lines = [
    'Client: Hakobune',
    ...rows({
      Version: own.Version,
      'API version': own.ApiVersion,
      'Node version': own.NodeVersion,
      'OS/Arch': `${own.Os}/${own.Arch}`,
    }),
  ];
  if (server === null) return `${lines.join('\n')}\n`;
  lines.push('', `Server: ${text((server['Platform'] as Facts | undefined)?.['Name']) || 'Hakobune'}`);
  const components = Array.isArray(server['Components']) ? (server['Components'] as Facts[]) : [];
  if (components.length === 0)
    lines.push(
      ...rows({
        Version: text(server['Version']),
        'API version': text(server['ApiVersion']),
        'OS/Arch': `${text(server['Os'])}/${text(server['Arch'])}`,
      }),
    );
  for (const { Name, Version, Details } of components) {
    lines.push(` ${text(Name)}:`, ...rows({ Version, ...(Details as Facts | undefined) }, 2));
  }
  return `${lines.join('\n')}\n`;
}

function text(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

const rows = (facts: Facts, indent = 1): string[] =>
  Object.entries(facts).map(([name, value]) => `${' '.repeat(indent)}${`${name}:`.padEnd(19 - indent)}${text(value)}`);

export const info = command({
  usage: 'info [OPTIONS]',
  summary: 'Display system-wide information',
  flags: shape,
  takes: [0, 0],
  examples: [["info -f '{{.Driver}}'", 'the snapshotter in use']],
  async run({ client }, { flags }) {
    const found = await client.info();
    await printAs(flags.format, flags.json, found, () => describeInfo(found, client.host));
    for (const warning of Array.isArray(found['Warnings']) ? found['Warnings'] : []) print(2, `${text(warning)}\n`);
  },
});

/** What Docker prints of a daemon, in its order; what this daemon does not tell is left out. */
function describeInfo(found: Facts, host: string): string {
  const lines = ['Client: Hakobune', ` Version:    ${ownVersion()}`, ` Host:       ${host}`, '', 'Server:'];
  const add = (title: string, value: unknown, indent = 1): void => {
    if (text(value) !== '') lines.push(`${' '.repeat(indent)}${title}: ${text(value)}`);
  };
  add('Containers', found['Containers']);
  for (const state of ['Running', 'Paused', 'Stopped']) add(state, found[`Containers${state}`], 2);
  add('Images', found['Images']);
  add('Server Version', found['ServerVersion']);
  add('Storage Driver', found['Driver']);
  for (const [name, value] of (found['DriverStatus'] as [string, string][] | null | undefined) ?? [])
    add(name, value, 2);
  for (const [title, name] of [
    ['Logging Driver', 'LoggingDriver'],
    ['Cgroup Driver', 'CgroupDriver'],
    ['Cgroup Version', 'CgroupVersion'],
  ] as const) {
    add(title, found[name]);
  }
  const plugins = (found['Plugins'] ?? {}) as Readonly<Record<string, readonly string[] | null>>;
  lines.push(' Plugins:');
  for (const kind of ['Volume', 'Network', 'Log']) lines.push(`  ${kind}: ${(plugins[kind] ?? []).join(' ')}`);
  add('Runtimes', Object.keys((found['Runtimes'] as object | null | undefined) ?? {}).join(' '));
  add('Default Runtime', found['DefaultRuntime']);
  const security = (found['SecurityOptions'] as string[] | null | undefined) ?? [];
  if (security.length > 0)
    lines.push(
      ' Security Options:',
      ...security.map((option) => `  ${option.replace(/^name=/, '').replaceAll(',', ' ')}`),
    );
  const rest = {
    'Kernel Version': 'KernelVersion',
    'Operating System': 'OperatingSystem',
    OSType: 'OSType',
    Architecture: 'Architecture',
    CPUs: 'NCPU',
  };
  for (const [title, name] of Object.entries(rest)) add(title, found[name]);
  add('Total Memory', binarySize(Number(found['MemTotal'] ?? 0)));
  for (const [title, name] of Object.entries({
    Name: 'Name',
    ID: 'ID',
    'Root Dir': 'DockerRootDir',
    'Debug Mode': 'Debug',
  }))
    add(title, found[name]);
  return `${lines.join('\n')}\n`;
}

function binarySize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unit = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  return `${Number((bytes / 1024 ** unit).toPrecision(4))}${units[unit]}`;
}
