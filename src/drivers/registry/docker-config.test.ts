import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { dockerCredentials } from './docker-config.ts';

const dir = await mkdtemp(join(tmpdir(), 'hako-login-'));
const oldPath = process.env['PATH'] ?? '';
process.env['PATH'] = `${dir}:${oldPath}`;
after(async () => {
  process.env['PATH'] = oldPath;
  await rm(dir, { recursive: true });
});
const file = join(dir, 'config.json');
const signal = new AbortController().signal;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

async function lookUp(config: unknown, host: string): ReturnType<typeof dockerCredentials> {
  await writeFile(file, typeof config === 'string' ? config : JSON.stringify(config));
  return dockerCredentials(file, host, signal);
}

async function helper(name: string, script: string): Promise<void> {
  await writeFile(join(dir, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`);
  await chmod(join(dir, `docker-credential-${name}`), 0o755);
}

test('a login is found by host, by address and by the old key of Docker Hub', async () => {
  const auths = {
    'a:5000': { auth: base64('u:p:w') },
    'https://b/v1/': { username: 'x', password: 'y' },
    'https://index.docker.io/v1/': { auth: base64('hub:secret\0\0') },
    c: { auth: base64('u:'), identitytoken: 'token' },
    d: {},
  };
  assert.deepEqual(await lookUp({ auths }, 'a:5000'), { username: 'u', password: 'p:w' });
  assert.deepEqual(await lookUp({ auths }, 'b'), { username: 'x', password: 'y' });
  assert.deepEqual(await lookUp({ auths }, 'docker.io'), { username: 'hub', password: 'secret' });
  assert.deepEqual(await lookUp({ auths }, 'registry-1.docker.io'), { username: 'hub', password: 'secret' });
  assert.deepEqual(await lookUp({ auths }, 'c'), { username: 'u', password: '', identityToken: 'token' });
  assert.equal(await lookUp({ auths }, 'd'), undefined);
  assert.equal(await lookUp({ auths }, 'a'), undefined);
  assert.equal(await lookUp({ auths }, '__proto__'), undefined);
  assert.equal(await dockerCredentials(join(dir, 'none.json'), 'a', signal), undefined);
});

test('a helper is asked by the name of the host, and the common store for the rest', async () => {
  await helper('one', 'read host; echo "{\\"Username\\":\\"of-$host\\",\\"Secret\\":\\"s\\"}"');
  await helper('store', 'echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"t\\"}"');
  await helper('empty', 'echo "credentials not found in native keychain"; exit 1');
  const config = { credHelpers: { a: 'one' }, credsStore: 'store', auths: { c: { auth: base64('u:p') } } };
  assert.deepEqual(await lookUp(config, 'a'), { username: 'of-a', password: 's' });
  assert.deepEqual(await lookUp(config, 'b'), { username: '', password: '', identityToken: 't' });
  assert.deepEqual(await lookUp({ ...config, credsStore: 'empty' }, 'c'), { username: 'u', password: 'p' });
});

test('what is wrong with a helper is said without what it said', async () => {
  await helper('bad', 'echo "s3cret failed"; echo s3cret >&2; exit 3');
  await helper('garbled', 'echo "{s3cret"');
  await helper('loud', 'head -c 3000000 /dev/zero');
  const cases: readonly (readonly [string, RegExp])[] = [
    ['bad', /^credential helper "docker-credential-bad": ended with status 3 for "a"$/],
    ['garbled', /its answer for "a" is not JSON$/],
    ['loud', /ended with status null/],
    ['absent', /not installed, though config\.json names it$/],
    ['../sh', /not a name$/],
  ];
  for (const [name, message] of cases) {
    await assert.rejects(lookUp({ credsStore: name }, 'a'), (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /s3cret/);
      return true;
    });
  }
});

test('a helper that hangs ends with its caller', async () => {
  await helper('slow', 'exec sleep 60');
  await writeFile(file, JSON.stringify({ credsStore: 'slow' }));
  await assert.rejects(dockerCredentials(file, 'a', AbortSignal.timeout(100)), { name: 'TimeoutError' });
});

test('a config.json that is none is named without its content', async () => {
  await assert.rejects(lookUp('{"auths": s3cret', 'a'), (error: Error) => {
    assert.equal(error.message, `"${file}": is not a JSON object`);
    assert.equal(error.cause, undefined);
    return true;
  });
  await assert.rejects(
    lookUp({ auths: { a: { auth: base64('no colon') } } }, 'a'),
    /auths\."a"\.auth is not base64 of user:password/,
  );
});
