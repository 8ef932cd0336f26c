import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCommandLine } from './flags.ts';

test('flags become overrides', () => {
  const line = parseCommandLine([
    '--config',
    'a.toml',
    '--root=/r',
    '--state',
    '/s',
    '-a',
    '/x',
    '--docker-address',
    '/d',
    '-l',
    'warning',
  ]);
  assert.deepEqual(line, {
    command: 'serve',
    config: 'a.toml',
    overrides: { root: '/r', state: '/s', address: '/x', dockerAddress: '/d', logLevel: 'warn' },
  });
});

test('config default and config dump are commands, and take flags', () => {
  assert.equal(parseCommandLine(['config', 'default']).command, 'config default');
  assert.deepEqual(parseCommandLine(['config', 'dump', '--root', '/r']).overrides, { root: '/r' });
});

test('what is typed wrongly is named, with what was meant', () => {
  const wrong: [string[], RegExp][] = [
    [['--rot', '/x'], /^unknown option --rot: did you mean --root\?$/],
    [['--zzzzzz'], /^unknown option --zzzzzz: see hakod --help$/],
    [['serve'], /^unknown command "serve"/],
    [['config', 'dmup'], /^unknown command "config dmup"/],
    [['--log-level', 'loud'], /^--log-level "loud": must be one of trace, /],
    [['--root', ''], /^option --root is empty/],
    [['--docker-address', 'tcp://0.0.0.0:2375'], /^option --docker-address is "tcp:.*unix sockets alone/],
    [['--root'], /--root/],
  ];
  for (const [args, message] of wrong) {
    assert.throws(() => parseCommandLine(args), { name: 'HakoError', code: 'invalid-argument', message });
  }
});
