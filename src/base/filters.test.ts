import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filterItems, labelField, linearMatcher, parseFilters } from './filters.ts';

interface Thing {
  readonly name: string;
  readonly other: string;
  readonly labels: Record<string, string>;
}

const things: readonly Thing[] = [
  { name: 'foo', other: 'ABC', labels: { foo: 'true' } },
  { name: 'bar', other: '', labels: { bar: 'true', 'more.dotted/key': 'a,b' } },
  { name: 'foo bar', other: 'ABC', labels: { more: 'of "this"' } },
  { name: 'registry:5000/x:1', other: '', labels: {} },
];

const fieldOf = (thing: Thing, [first, ...rest]: readonly string[]): string | undefined => {
  if (first === 'name') return thing.name;
  if (first === 'other') return thing.other === '' ? undefined : thing.other;
  return first === 'labels' ? labelField(thing.labels, rest) : undefined;
};

const names = (...filters: string[]): string[] => filterItems(things, filters, fieldOf).map((thing) => thing.name);
const all = things.map((thing) => thing.name);

test('no filter and an empty filter match everything', () => {
  assert.deepEqual(names(), all);
  assert.deepEqual(names(''), all);
  assert.deepEqual(names('name==nothing', ''), all);
});

test('equality, inequality, presence and regular expressions select', () => {
  assert.deepEqual(names('name==foo'), ['foo']);
  assert.deepEqual(names('name!=foo'), ['bar', 'foo bar', 'registry:5000/x:1']);
  assert.deepEqual(names('other'), ['foo', 'foo bar']);
  assert.deepEqual(names('name~=^foo'), ['foo', 'foo bar']);
  assert.deepEqual(names('name==registry:5000/x:1'), ['registry:5000/x:1']);
});

test('what is absent counts as empty, but is not there', () => {
  assert.deepEqual(names('other!=ABC'), ['bar', 'registry:5000/x:1']);
  assert.deepEqual(names('other~=^$'), ['bar', 'registry:5000/x:1']);
  assert.deepEqual(names('unknown==""'), []);
  assert.deepEqual(names('unknown'), []);
  assert.deepEqual(names('labels.constructor'), []);
});

test('a comma means and, several filters mean or', () => {
  assert.deepEqual(names('name~=foo,other==ABC,labels.foo'), ['foo']);
  assert.deepEqual(names('name==foo', 'name==bar'), ['foo', 'bar']);
});

test('fields and values may be quoted, with the escapes of Go', () => {
  assert.deepEqual(names('"name"=="foo bar"'), ['foo bar']);
  assert.deepEqual(names('labels."more.dotted/key"=="a,b"'), ['bar']);
  assert.deepEqual(names('labels.more=="of \\"this\\""'), ['foo bar']);
  assert.deepEqual(names('name=="f\\x6f\\u006f"'), ['foo']);
  assert.deepEqual(names('name=="f\\157\\U0000006f"'), ['foo']);
  assert.deepEqual(names('name ==  foo'), ['foo']);
});

test('a regular expression may stand between slashes or bars', () => {
  assert.deepEqual(names('name~=/^fo{2}$/'), ['foo']);
  assert.deepEqual(names('name~=|^registry:\\\\d+/|'), ['registry:5000/x:1']);
  assert.deepEqual(names('name~="(?i)^FOO$",labels.foo'), ['foo']);
});

test('a malformed filter is invalid and the error marks where', () => {
  const words: Record<string, string> = {
    'name=foo': '[name >|=|< foo]: unsupported operator "="',
    'name===foo': '[name >|=|< ==foo]: unsupported operator "==="',
    'name==': '[name==]: expected value or quoted',
    'name==foo,': '[name==foo,]: expected field or quoted',
    ',name': '[ >|,|< name]: expected field or quoted',
    'name..x': '[name. >|.|< x]: expected field or quoted',
    'name==foo bar': '[name==foo >| |< bar]: unexpected input:  ',
    'name=="foo': '[name== >|"|< foo]: quoted literal not terminated',
    'name=="\\q"': '[name==" >|\\|< q"]: illegal escape sequence',
    'name==/foo/': '[name== >|/|< foo/]: invalid quote encountered',
    'na-me==x': '[na >|-|< me==x]: expected an operator ("=="|"!="|"~=")',
  };
  for (const [filter, message] of Object.entries(words)) {
    const expected = { code: 'invalid-argument', message: `filters: parse error: ${message}: invalid argument` };
    assert.throws(() => parseFilters([filter]), expected);
  }
  assert.throws(() => parseFilters(['name==\u0000']), { code: 'invalid-argument' });
  assert.throws(() => parseFilters(['=='], ': twice'), /: invalid argument: twice$/);
});

test('a malformed regular expression matches nothing, as with containerd', () => {
  assert.deepEqual(names('name~=('), []);
  assert.deepEqual(names('name~="(a)\\\\1"'), []);
});

test('filters, patterns and their number have limits', () => {
  assert.throws(() => parseFilters([`name==${'x'.repeat(20_000)}`]), { code: 'invalid-argument' });
  assert.throws(() => parseFilters([`name~=${'x'.repeat(2000)}`]), { code: 'invalid-argument' });
  assert.throws(() => parseFilters(Array.from({ length: 1001 }, () => 'name')), { code: 'invalid-argument' });
});

test('a regular expression that would take for ever elsewhere is answered at once', () => {
  // With backtracking this takes longer than the universe has existed.
  assert.equal(linearMatcher('^(a+)+$')(`${'a'.repeat(10_000)}b`), false);
});
