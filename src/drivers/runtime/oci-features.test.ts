import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ociFeatures } from './oci-features.ts';

const forever = new AbortController().signal;

async function program(t: TestContext, script: string): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'hako-features-'));
  t.after(() => rm(home, { recursive: true }));
  const path = join(home, 'runtime');
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

test('an OCI runtime tells what it can do, or that it does not know the question', async (t) => {
  const binary = await program(t, '[ "$1" = features ] && echo \'{"ociVersionMax":"1.2.0"}\'');
  const { features } = await ociFeatures(binary, forever);
  assert.deepEqual(JSON.parse(Buffer.from(features ?? '').toString()), { ociVersionMax: '1.2.0' });
  const old = await program(t, 'echo "no such command" >&2; exit 1');
  assert.deepEqual(await ociFeatures(old, forever), { binary: old });
  const odd = await program(t, 'echo hello');
  assert.deepEqual(await ociFeatures(odd, forever), { binary: odd });
});

test('a runtime that is not there is not found', async () => {
  await assert.rejects(ociFeatures('/nowhere/runc', forever), { code: 'not-found', message: /"\/nowhere\/runc"/ });
});
