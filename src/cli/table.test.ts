import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawTable, ellipsis, type Column } from './table.ts';

const columns: Column<string[]>[] = [
  { title: 'CONTAINER ID', cell: (row) => row[0] ?? '' },
  { title: 'IMAGE', cell: (row) => row[1] ?? '', least: 8 },
  { title: 'NAMES', cell: (row) => row[2] ?? '' },
];

test('an empty table is its titles, spaced as docker spaces them', () => {
  assert.equal(drawTable(columns, []), 'CONTAINER ID   IMAGE     NAMES\n');
});

test('a column is as wide as its longest cell and three more; nothing is behind the last', () => {
  assert.equal(
    drawTable(columns, [['0123456789ab', 'registry/app:1', 'web']]),
    'CONTAINER ID   IMAGE            NAMES\n0123456789ab   registry/app:1   web\n',
  );
});

test('a narrow terminal cuts what may be cut, and only as far as needed', () => {
  const text = drawTable(columns, [['0123456789ab', 'registry.example/app:1', 'web']], 34);
  assert.equal(text, 'CONTAINER ID   IMAGE         NAMES\n0123456789ab   registry.e…   web\n');
  for (const line of text.trimEnd().split('\n')) assert.ok([...line].length <= 34, line);
  const least = drawTable(columns, [['0123456789ab', 'registry.example/app:1', 'web']], 10);
  assert.match(least, /registr…   web/);
});

test('what a container is called cannot draw on the terminal', () => {
  assert.doesNotMatch(drawTable(columns, [['a', '\u001b[2J\nx', 'n']]), /\u001b|\n.*\n.*\n/);
});

test('an ellipsis counts as a letter', () => {
  assert.equal(ellipsis('abcdef', 6), 'abcdef');
  assert.equal(ellipsis('abcdef', 5), 'abcd…');
  assert.equal(ellipsis('日本語の', 3), '日本…');
  assert.equal(ellipsis('ab', 1), 'a');
});
