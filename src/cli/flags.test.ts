import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageFailure } from './failure.ts';
import { HelpAsked, parseFlags, wholeNumber } from './flags.ts';

const specs = {
  interactive: { kind: 'on', short: 'i', help: '' },
  tty: { kind: 'on', short: 't', help: '' },
  'sig-proxy': { kind: 'on', preset: true, help: '' },
  env: { kind: 'many', short: 'e', help: '' },
  name: { kind: 'one', help: '' },
  network: { kind: 'one', alias: 'net', help: '' },
  hostname: { kind: 'one', short: 'h', help: '' },
} as const;

const run = (...words: string[]) => parseFlags(specs, words, { interspersed: false });
const message = (words: string[]): string => {
  try {
    run(...words);
  } catch (error) {
    assert.ok(error instanceof UsageFailure);
    return error.message;
  }
  return '';
};

test('switches stand together, and the last of them may take a value', () => {
  const { flags, rest } = run('-ite', 'A=b', 'image');
  assert.deepEqual([flags.interactive, flags.tty, flags.env, rest], [true, true, ['A=b'], ['image']]);
  assert.deepEqual(run('-eA=b', '-e=C=d').flags.env, ['A=b', 'C=d']);
  assert.equal(run('-i=false').flags.interactive, false);
});

test('a value stands behind an equals sign or in the next word', () => {
  assert.equal(run('--name=web').flags.name, 'web');
  assert.equal(run('--name', 'web').flags.name, 'web');
  assert.equal(run('--name=').flags.name, '');
  assert.equal(run('--name', '--rm').flags.name, '--rm');
  assert.equal(run('--net', 'host').flags.network, 'host');
});

test('a switch that is on can be put off', () => {
  assert.equal(run().flags['sig-proxy'], true);
  assert.equal(run('--sig-proxy=false').flags['sig-proxy'], false);
  assert.match(message(['--tty=maybe']), /"maybe" for --tty: must be true or false/);
});

test('flags end at the image, so that the rest belongs to the command in it', () => {
  assert.deepEqual(run('-i', 'image', 'ls', '-l', '--name', 'x').rest, ['image', 'ls', '-l', '--name', 'x']);
  assert.deepEqual(run('--', '-i').rest, ['-i']);
  assert.deepEqual(run('-', 'x').rest, ['-', 'x']);
  const both = parseFlags(specs, ['web', '-t', 'db', '--', '-i'], { interspersed: true });
  assert.deepEqual([both.rest, both.flags.tty], [['web', 'db', '-i'], true]);
});

test('what is unknown or unfinished is named, with what was probably meant', () => {
  assert.match(message(['--nmae', 'x']), /unknown flag: --nmae; did you mean --name\?/);
  assert.equal(message(['--zzzzzzzz']), 'unknown flag: --zzzzzzzz');
  assert.equal(message(['-itz']), "unknown shorthand flag: 'z' in -itz");
  assert.equal(message(['--name']), 'flag needs an argument: --name');
});

test('help is asked for by --help, and by -h where that means nothing else', () => {
  assert.throws(() => run('--help'), HelpAsked);
  assert.equal(run('-h', 'box').flags.hostname, 'box');
  assert.throws(() => parseFlags({}, ['-h'], { interspersed: true }), HelpAsked);
});

test('given tells a flag that was set to nothing from one that was not set', () => {
  assert.equal(run('--name=').given.has('name'), true);
  assert.equal(run().given.has('name'), false);
});

test('numbers are whole', () => {
  assert.equal(wholeNumber('--time', '-1'), -1);
  assert.equal(wholeNumber('--time', undefined), undefined);
  assert.throws(() => wholeNumber('--time', '1.5'), /invalid argument "1.5" for --time/);
});
