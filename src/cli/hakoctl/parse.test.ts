import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HelpAsked, type Flags } from '../flags.ts';
import { duration, pairs, parseWords, wholeNumber } from './parse.ts';

const specs = {
  quiet: { kind: 'on', short: 'q', help: '' },
  label: { kind: 'many', help: '' },
  snapshotter: { kind: 'one', help: '', variable: 'CONTAINERD_SNAPSHOTTER' },
  expires: { kind: 'one', short: 'x', help: '', fallback: '24h' },
} as const satisfies Flags;

test('one dash is as good as two, and values come with or without an equals sign', () => {
  const { flags, given, rest } = parseWords(specs, ['-label', 'a=b', '--label=c=d', '-q', '--x', '1h', 'name', '-q']);
  assert.deepEqual(flags, { quiet: true, label: ['a=b', 'c=d'], snapshotter: undefined, expires: '1h' });
  assert.deepEqual([...given], ['label', 'quiet', 'expires']);
  assert.deepEqual(rest, ['name', '-q']);
});

test('flags end at two dashes and at a lone one', () => {
  assert.deepEqual(parseWords(specs, ['-q', '--', '--label']).rest, ['--label']);
  assert.deepEqual(parseWords(specs, ['-', '-q']).rest, ['-', '-q']);
});

test('the environment stands in for a flag that is not given, and an empty variable is none', () => {
  const environment = { CONTAINERD_SNAPSHOTTER: 'native' };
  assert.equal(parseWords(specs, [], environment).flags.snapshotter, 'native');
  assert.equal(parseWords(specs, ['--snapshotter', 'btrfs'], environment).flags.snapshotter, 'btrfs');
  assert.equal(parseWords(specs, [], { CONTAINERD_SNAPSHOTTER: '' }).flags.snapshotter, undefined);
});

test('short flags do not combine, and what is mistyped is guessed', () => {
  assert.throws(() => parseWords(specs, ['-qx', '1h']), /not defined: -qx/);
  assert.throws(() => parseWords(specs, ['--quite']), /did you mean --quiet\?/);
  assert.throws(() => parseWords(specs, ['--label']), /needs an argument: -label/);
  assert.throws(() => parseWords(specs, ['--quiet=maybe']), /must be true or false/);
  assert.equal(parseWords(specs, ['--quiet=false']).flags.quiet, false);
});

test('help is asked for by -h and --help, unless a value stands there', () => {
  assert.throws(() => parseWords(specs, ['-q', '-h']), HelpAsked);
  assert.throws(() => parseWords(specs, ['--help']), HelpAsked);
  assert.deepEqual(parseWords(specs, ['--label', '-h']).flags.label, ['-h']);
});

test('spans, numbers and pairs are read or refused by their flag', () => {
  assert.equal(duration('expires', '1m30s'), 90_000);
  assert.throws(() => duration('expires', 'soon'), /invalid value "soon" for flag -expires/);
  assert.equal(wholeNumber('debug', '-2'), -2);
  assert.throws(() => wholeNumber('debug', '1.5'), /must be a whole number/);
  assert.deepEqual(pairs(['a=b=c', 'd', 'e=']), { a: 'b=c', d: 'true', e: '' });
});
