import { getMetrics, type TaskMetrics, type Value, type Values } from '#client/containerd/metrics.ts';
import { invalid } from '#base/errors.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { goJson } from '../listing.ts';
import { setTabs, type TabStops } from '../tabs.ts';
import { containerName, findContainer, findProcess } from './container-names.ts';

const loose: TabStops = { least: 1, tab: 8, padding: 4, pad: ' ' };

export const metrics = command({
  usage: '[flags] CONTAINER',
  flags: {
    format: { kind: 'one', fallback: 'table', help: '"table" or "json"' },
    json: { kind: 'on', help: 'Print JSON' },
  },
  examples: [['tasks metrics --json web', 'all that the cgroup counts']],
  async run(context, { flags, rest }) {
    const id = containerName(rest);
    const format = flags.json ? 'json' : flags.format;
    if (format !== 'table' && format !== 'json') throw invalid('format must be table or json');
    await findContainer(context, id);
    await findProcess(context, id);
    const found = await getMetrics(context.door, id);
    print(1, format === 'json' ? `${goJson(found.data, 2)}\n` : table(found));
  },
});

/** Each row of the table: its name, and the way to its value; a group is left out when the cgroup does not count it. */
type Rows = readonly (readonly [group: string, rows: readonly (readonly [name: string, path: string])[]])[];

const firstRows: Rows = [
  [
    'memory',
    [
      ['memory.usage_in_bytes', 'usage.usage'],
      ['memory.limit_in_bytes', 'usage.limit'],
      ['memory.stat.cache', 'total_cache'],
    ],
  ],
  [
    'cpu',
    [
      ['cpuacct.usage', 'usage.total'],
      ['cpuacct.usage_percpu', 'usage.per_cpu'],
    ],
  ],
  [
    'pids',
    [
      ['pids.current', 'current'],
      ['pids.limit', 'limit'],
    ],
  ],
];

const secondRows: Rows = [
  [
    'pids',
    [
      ['pids.current', 'current'],
      ['pids.limit', 'limit'],
    ],
  ],
  [
    'cpu',
    ['usage_usec', 'user_usec', 'system_usec', 'nr_periods', 'nr_throttled', 'throttled_usec'].map((name) => [
      `cpu.${name}`,
      name,
    ]),
  ],
  ['memory', ['usage', 'usage_limit', 'swap_usage', 'swap_limit'].map((name) => [`memory.${name}`, name])],
];

function table({ id, seconds, nanos, version, data }: TaskMetrics): string {
  const stamp = [seconds === 0n ? '' : `seconds:${seconds}`, nanos === 0 ? '' : `nanos:${nanos}`];
  const lines: string[][] = [
    ['ID', 'TIMESTAMP', ''],
    [id, stamp.filter((part) => part !== '').join(' '), ''],
    [''],
    ['METRIC', 'VALUE', ''],
  ];
  for (const [group, rows] of version === 1 ? firstRows : secondRows) {
    const values = data[group];
    if (values === undefined) continue;
    for (const [name, path] of rows) lines.push([name, shown(at(values as Values, path)), '']);
  }
  return setTabs(lines, loose);
}

/** What is not set is zero. */
function at(values: Values, path: string): Value {
  let found: Value | undefined = values;
  for (const step of path.split('.')) found = (found as Values | undefined)?.[step];
  return found ?? (path.endsWith('per_cpu') ? [] : 0);
}

const shown = (value: Value): string =>
  Array.isArray(value) ? `[${value.map(shown).join(' ')}]` : typeof value === 'object' ? '' : String(value);
