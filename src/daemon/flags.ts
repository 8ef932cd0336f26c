import { parseArgs } from 'node:util';
import { HakoError } from '#base/errors.ts';
import { logLevels, type LogLevel } from '#base/log.ts';
import { nearest } from '#base/nearest.ts';
import type { Overrides } from './config/load.ts';

export const usage = `Usage: hakod [OPTIONS]
       hakod config default|dump [OPTIONS]
       hakod oci-hook PROGRAM [ARG…]

The daemon of Hakobune: keeps images and containers, and answers at containerd's, Kubernetes' and Docker's doors.

Commands:
  config default             print the default configuration, with comments
  config dump                print the configuration that the other options give
  oci-hook                   become a program, as a hook of a container: {{id}}, {{pid}}, {{bundle}}, {{rootfs}},
                             {{status}} and {{annotation "KEY"}} in its arguments are filled in from the state on stdin

Options:
  -c, --config FILE          configuration (default /etc/hakobune/config.toml, if it is there)
      --root DIR             what is kept over reboots (default /var/lib/hakobune)
      --state DIR            what is not (default /run/hakobune)
  -a, --address SOCK         socket of containerd's API and CRI (default <state>/hakobune.sock)
      --docker-address SOCK  socket of Docker's Engine API (default <state>/docker.sock)
  -l, --log-level LEVEL      ${logLevels.join(', ')} (default info)
  -v, --version              print the version
  -h, --help                 print this
`;

const options = {
  config: { type: 'string', short: 'c' },
  root: { type: 'string' },
  state: { type: 'string' },
  address: { type: 'string', short: 'a' },
  'docker-address': { type: 'string' },
  'log-level': { type: 'string', short: 'l' },
  version: { type: 'boolean', short: 'v' },
  help: { type: 'boolean', short: 'h' },
} as const;

export interface CommandLine {
  readonly command: 'serve' | 'config default' | 'config dump' | 'oci-hook' | 'version' | 'help';
  readonly config?: string;
  /** Of the program that oci-hook runs: none of them is ours. */
  readonly hook?: readonly string[];
  readonly overrides: Overrides;
}

/** Reads the arguments of hakod. Throws invalid-argument in words for the person who typed them. */
export function parseCommandLine(args: readonly string[]): CommandLine {
  if (args[0] === 'oci-hook') return { command: 'oci-hook', overrides: {}, hook: args.slice(1) };
  const { values, positionals } = parse(args);
  for (const name of ['config', 'root', 'state', 'address', 'docker-address'] as const) {
    if (values[name] === '') throw new HakoError('invalid-argument', `option --${name} is empty: give a path`);
  }
  for (const name of ['address', 'docker-address'] as const) {
    const [, scheme] = /^([a-z+]+):\/\//.exec(values[name] ?? '') ?? [];
    if (scheme === undefined) continue;
    const hint = 'hakod listens on unix sockets alone: give the path of one';
    throw new HakoError('invalid-argument', `option --${name} is "${values[name] ?? ''}": ${hint}`);
  }
  const overrides: Overrides = {
    ...(values.root !== undefined && { root: values.root }),
    ...(values.state !== undefined && { state: values.state }),
    ...(values.address !== undefined && { address: values.address }),
    ...(values['docker-address'] !== undefined && { dockerAddress: values['docker-address'] }),
    ...(values['log-level'] !== undefined && { logLevel: logLevel(values['log-level']) }),
  };
  const command = values.help === true ? 'help' : values.version === true ? 'version' : commandOf(positionals);
  return { command, overrides, ...(values.config !== undefined && { config: values.config }) };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const unknown = /^Unknown option '-?-?([^']*)'/.exec((error as Error).message)?.[1];
    if (unknown === undefined) throw new HakoError('invalid-argument', (error as Error).message, error);
    const near = nearest(unknown, Object.keys(options));
    const hint = near === undefined ? 'see hakod --help' : `did you mean --${near}?`;
    throw new HakoError('invalid-argument', `unknown option --${unknown}: ${hint}`, error);
  }
}

const there = 'there are "config default", "config dump" and "oci-hook"';

function commandOf(words: readonly string[]): CommandLine['command'] {
  const command = words.join(' ');
  if (command === '') return 'serve';
  if (command === 'config default' || command === 'config dump') return command;
  throw new HakoError('invalid-argument', `unknown command "${command}": ${there}`);
}

function logLevel(word: string): LogLevel {
  const level = logLevels.find((one) => one === word || (one === 'warn' && word === 'warning'));
  if (level !== undefined) return level;
  throw new HakoError(
    'invalid-argument',
    `--log-level ${JSON.stringify(word)}: must be one of ${logLevels.join(', ')}`,
  );
}
