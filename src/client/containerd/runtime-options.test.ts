import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OptionsSchema } from '#proto/gen/containerd/runc/v1/options_pb.ts';
import { hasCni, cniExtension } from '../cni-extension.ts';
import { mappingText, parseIdMapping, toHost } from '../spec/id-mappings.ts';
import { packAny, unpackAny } from './packing.ts';
import { runcRuntime, runtimeOptions, taskOptions } from './runtime-options.ts';

test('runc gets its options, another runtime a path, and a wrong mixture is refused', () => {
  const options = unpackAny(
    OptionsSchema,
    runtimeOptions({ runtime: runcRuntime, runcBinary: 'crun', runcRoot: '/r' }),
  );
  assert.deepEqual([options?.binaryName, options?.root, options?.systemdCgroup], ['crun', '/r', false]);
  assert.equal(runtimeOptions({ runtime: 'io.containerd.x.v1' }), undefined);
  assert.equal(
    runtimeOptions({ runtime: 'io.containerd.x.v1', configPath: '/c' })?.typeUrl,
    'runtimeoptions.v1.Options',
  );
  assert.throws(() => runtimeOptions({ runtime: 'io.containerd.x.v1', runcBinary: 'crun' }), /only runtime/);
  assert.throws(() => runtimeOptions({ runtime: runcRuntime, systemdCgroup: true }), /needs --cgroup/);
});

test("a task's options keep those of its container", () => {
  const own = packAny(OptionsSchema, { binaryName: 'crun' });
  assert.equal(taskOptions(own, {}), undefined);
  const options = unpackAny(OptionsSchema, taskOptions(own, { noPivot: true, ioUid: 5 }));
  assert.deepEqual([options?.binaryName, options?.noPivotRoot, options?.ioUid, options?.ioGid], ['crun', true, 5, 0]);
  assert.throws(
    () => taskOptions({ typeUrl: 'other.Options', value: new Uint8Array() }, { noPivot: true }),
    /other\.Options/,
  );
});

test('mappings of ids are read, written and followed', () => {
  const mapping = parseIdMapping('0:100000:65536');
  assert.equal(mappingText([mapping]), '0:100000:65536');
  assert.deepEqual(
    [toHost(0, [mapping]), toHost(65_535, [mapping]), toHost(65_536, [mapping])],
    [100_000, 165_535, undefined],
  );
  for (const wrong of ['0:1', '0:1:2:3', 'a:1:2', '0:1:4294967296', '-1:0:1'])
    assert.throws(() => parseIdMapping(wrong), { code: 'invalid-argument' });
});

test("a container's network is noted as ctr notes it", () => {
  assert.equal(hasCni(cniExtension), true);
  assert.equal(hasCni({}), false);
  assert.equal(
    hasCni({ 'ctr.cni-containerd.metadata': { typeUrl: 'x', value: Buffer.from('{"EnableCni":false}') } }),
    false,
  );
});
