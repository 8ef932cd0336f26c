import type { Flags } from '../flags.ts';

export const defaultAddress = '/run/hakobune/hakobune.sock';

export const globalFlags = {
  debug: { kind: 'on', help: 'Say where an error came from' },
  address: {
    kind: 'one',
    short: 'a',
    value: 'value',
    fallback: defaultAddress,
    variable: 'CONTAINERD_ADDRESS',
    help: "The daemon's socket: ours, or containerd's",
  },
  timeout: { kind: 'one', value: 'value', fallback: '0s', help: 'Total timeout for the command' },
  'connect-timeout': { kind: 'one', value: 'value', fallback: '0s', help: 'Timeout for connecting to the daemon' },
  namespace: {
    kind: 'one',
    short: 'n',
    value: 'value',
    fallback: 'default',
    variable: 'CONTAINERD_NAMESPACE',
    help: 'Namespace to work in',
  },
  version: { kind: 'on', short: 'v', help: 'Print the version' },
} as const satisfies Flags;
