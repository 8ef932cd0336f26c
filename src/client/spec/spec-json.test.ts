import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packSpec, parseExactly, parseSpec, printExactly, unpackSpec } from './spec-json.ts';

test('numbers that a double cannot hold survive', () => {
  const text = '{"hard":18446744073709551615,"soft":-9223372036854775808,"small":7,"half":0.5}';
  assert.equal(printExactly(parseExactly(text)), text);
});

test('a spec comes back from its Any, unknown fields too', () => {
  const spec = parseSpec('{"ociVersion":"1.0.2","hooks":{"prestart":[{"path":"/x"}]},"vm":{"a":1}}', 'it');
  const packed = packSpec(spec);
  assert.equal(packed.typeUrl, 'types.containerd.io/opencontainers/runtime-spec/1/Spec');
  assert.deepEqual(unpackSpec(packed, 'one'), spec);
});

test('annotations are sorted by their bytes, as Go prints maps', () => {
  const { value } = packSpec({ annotations: { b: '1', a: '2', B: '3' }, ociVersion: '1.2.1' });
  assert.equal(Buffer.from(value).toString(), '{"ociVersion":"1.2.1","annotations":{"B":"3","a":"2","b":"1"}}');
});

test('what is no spec is refused', () => {
  assert.throws(() => parseSpec('[]', 'file "x"'), /file "x" is not a JSON object/);
  assert.throws(() => parseSpec('{', 'file "x"'), /file "x" is not JSON/);
  assert.throws(() => unpackSpec(undefined, 'one'), /container "one" has no spec/);
});
