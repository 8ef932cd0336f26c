import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTabs, spaced, tabbed, wide } from './tabs.ts';

test('a column is as wide as its widest cell', () => {
  const lines = [
    ['NAME', 'LABELS', ''],
    ['default', '', ''],
    ['k8s.io', 'a=b', ''],
  ];
  assert.equal(setTabs(lines, spaced), 'NAME    LABELS \ndefault        \nk8s.io  a=b    \n');
});

test('the last cell of a line has no width of its own', () => {
  assert.equal(
    setTabs(
      [
        ['KEY', 'KIND'],
        ['a', 'a long last cell'],
        ['bb', 'x'],
      ],
      spaced,
    ),
    'KEY KIND\na   a long last cell\nbb  x\n',
  );
});

test('columns padded with tabs end at tab stops', () => {
  assert.equal(
    setTabs(
      [
        ['DIGEST', 'SIZE', 'AGE', ''],
        ['sha256:0123', '1B', '2 hours', ''],
      ],
      tabbed,
    ),
    'DIGEST\t\tSIZE\tAGE\t\nsha256:0123\t1B\t2 hours\t\n',
  );
});

test('a line with fewer cells begins the column anew', () => {
  assert.equal(
    setTabs([['a', 'b', 'c'], ['long one'], ['aaaaaa', 'b', 'c']], wide),
    'a    b    c\nlong one\naaaaaa    b    c\n',
  );
});
