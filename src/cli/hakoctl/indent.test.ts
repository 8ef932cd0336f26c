import assert from 'node:assert/strict';
import { test } from 'node:test';
import { indentJson } from './indent.ts';

test('indents as JSON.stringify does', () => {
  for (const value of [
    {},
    [],
    { a: [], b: {} },
    [[1, [2]], {}],
    { a: { b: ['x', { c: null }] }, d: 'e: {[,]}' },
    'x',
    7,
  ]) {
    assert.equal(indentJson(JSON.stringify(value), '   '), JSON.stringify(value, null, 3));
    assert.equal(indentJson(JSON.stringify(value, null, 8), '   '), JSON.stringify(value, null, 3));
  }
});

test('keeps numbers and escapes as they are written', () => {
  assert.equal(indentJson('{"a":1.50,"b":"\\u0026 \\" {"}', ' '), '{\n "a": 1.50,\n "b": "\\u0026 \\" {"\n}');
});
