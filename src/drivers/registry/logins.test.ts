import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Authorization, RegistryOptions } from '#core/registry.ts';
import { serve, type TestServer } from '../../../test/support/http-server.ts';
import { RegistryClient } from './registry.ts';

const signal = new AbortController().signal;
const digest = `sha256:${'ab'.repeat(32)}`;
const basic = `Basic ${Buffer.from('me:word').toString('base64')}`;

async function scratch(t: TestContext): Promise<{ dir: string; registry: RegistryClient }> {
  const dir = await mkdtemp(join(tmpdir(), 'hako-logins-'));
  const registry = new RegistryClient({ configDirs: [dir], dockerConfig: join(dir, 'config.json') });
  t.after(async () => {
    registry[Symbol.dispose]();
    await rm(dir, { recursive: true });
  });
  return { dir, registry };
}

/** A registry that wants exactly this Authorization header. */
const serveTo = (wanted: string, scheme = 'Basic realm="sea"'): Promise<TestServer> =>
  serve((request, response) => {
    if (request.headers.authorization !== wanted) {
      response.writeHead(401, { 'www-authenticate': scheme }).end();
      return;
    }
    const type = 'application/vnd.oci.image.manifest.v1+json';
    response.writeHead(200, { 'content-type': type, 'content-length': 7, 'docker-content-digest': digest }).end();
  });

test('a client is asked once a host how to log in, and told what the host said', async (t) => {
  const { registry, dir } = await scratch(t);
  await using server = await serveTo(basic);
  const asked: unknown[] = [];
  const options: RegistryOptions = {
    authorize: (...what) => {
      asked.push(what.slice(0, 3));
      return Promise.resolve({ type: 'credentials', username: 'me', secret: 'word' } as const);
    },
  };
  const name = `${server.host}/ark:1`;
  await registry.resolve(name, options, signal);
  await registry.resolve(name, options, signal);
  assert.deepEqual(asked, [[server.host, name, ['Basic realm="sea"']]]);
  // The next request is another's.
  const login: Record<string, unknown> = { auths: { [server.host]: { auth: basic.slice('Basic '.length) } } };
  await assert.rejects(registry.resolve(name, {}, signal), { code: 'unauthenticated' });
  await writeFile(join(dir, 'config.json'), JSON.stringify(login));
  await registry.resolve(name, { authorize: () => Promise.resolve({ type: 'none' }) }, signal);
  const empty: Authorization = { type: 'refresh', secret: '' };
  await registry.resolve(name, { authorize: () => Promise.resolve(empty) }, signal);
  await assert.rejects(
    registry.resolve(name, { authorize: () => Promise.reject(new Error('the client is gone')) }, signal),
    /the client is gone/,
  );
});

test('a whole header goes out as it is, whatever the registry asks for', async (t) => {
  const { registry } = await scratch(t);
  for (const scheme of ['Bearer realm="http://127.0.0.1:1/token"', 'Negotiate']) {
    await using server = await serveTo('Key 42', scheme);
    const authorize = (): Promise<Authorization> => Promise.resolve({ type: 'header', secret: 'Key 42' });
    await registry.resolve(`${server.host}/ark:1`, { authorize }, signal);
    const wrong = (): Promise<Authorization> => Promise.resolve({ type: 'header', secret: 'Key 41' });
    await assert.rejects(registry.resolve(`${server.host}/ark:1`, { authorize: wrong }, signal), {
      code: 'unauthenticated',
    });
  }
});

test("a client's headers go to the registry, its hosts.toml and scheme count instead of ours", async (t) => {
  const { registry, dir } = await scratch(t);
  await using server = await serveTo(basic);
  const headers = { authorization: [basic], 'x-deck': ['upper', 'lower'] };
  const plain: RegistryOptions = { headers, defaultScheme: 'http' };
  await registry.resolve(`${server.host}/ark:1`, plain, signal);
  assert.equal(server.requests[0]?.headers['x-deck'], 'upper, lower');
  const own = join(dir, 'own');
  await mkdir(join(own, 'sea.example'), { recursive: true });
  await writeFile(join(own, 'sea.example', 'hosts.toml'), `server = "${server.url}"\n`);
  await registry.resolve('sea.example/ark:1', { headers, hostsDir: own, defaultScheme: 'https' }, signal);
  await assert.rejects(registry.resolve('sea.example/ark:1', { headers: { 'x\n': ['y'] } }, signal), {
    code: 'invalid-argument',
  });
});
