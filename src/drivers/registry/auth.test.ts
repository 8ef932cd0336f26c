import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { serve } from '../../../test/support/http-server.ts';
import { makeImage } from '../../../test/support/images.ts';
import { noRegistry, selfSigned, startRegistry, testUser } from '../../../test/support/registry.ts';
import { identityToken, serveTokens } from '../../../test/support/token-server.ts';
import { RegistryClient } from './registry.ts';

const signal = new AbortController().signal;
const image = makeImage({ layers: [[{ name: 'hello', data: 'hello' }]] });
const service = 'harbour registry';

async function scratch(t: TestContext): Promise<{ dir: string; registry: RegistryClient }> {
  const dir = await mkdtemp(join(tmpdir(), 'hako-auth-'));
  const registry = new RegistryClient({
    configDirs: [dir],
    dockerConfig: join(dir, 'config.json'),
    retries: { firstDelay: 5, attempts: 2 },
  });
  t.after(async () => {
    registry[Symbol.dispose]();
    await rm(dir, { recursive: true });
  });
  return { dir, registry };
}

test('tokens are got for the scope that is needed, once for many requests', { skip: noRegistry() }, async (t) => {
  const { dir, registry } = await scratch(t);
  const pair = await selfSigned(dir, 'tokens');
  await using tokens = await serveTokens({ key: await readFile(pair.key, 'utf8'), pem: pair.pem }, service, 'harbour');
  await using server = await startRegistry({
    auth: { realm: `${tokens.url}/token`, service, issuer: 'harbour', certificate: pair.certificate },
  });
  const name = `${server.host}/sea/ark:1`;
  const blobs = [...image.layers, image.config];
  const push = async (options: Parameters<RegistryClient['pushBlob']>[3]): Promise<void> => {
    for (const blob of blobs) {
      await registry.pushBlob(
        name,
        blob,
        async function* () {
          yield image.blobs.get(blob.digest) ?? Buffer.alloc(0);
        },
        options,
        signal,
      );
    }
    await registry.pushManifest(name, image.target, image.manifest, options, signal);
  };

  await assert.rejects(push({}), { code: 'unauthenticated', message: /push access denied for/ });
  await assert.rejects(push({ credentials: { username: 'harbour', password: 'sesame' } }), (error: Error) => {
    assert.match(
      error.message,
      new RegExp(`: the login of "harbour" was refused by "${tokens.host}": check name and password$`),
    );
    assert.doesNotMatch(error.message, /sesame/);
    return true;
  });
  tokens.requests.length = 0;
  await push({ credentials: testUser });
  assert.equal(tokens.requests.length, 1);
  assert.match(
    tokens.requests[0]?.url ?? '',
    /^\/token\?service=harbour\+registry&scope=repository%3Asea%2Fark%3Apull%2Cpush$/,
  );

  tokens.requests.length = 0;
  await Promise.all(blobs.map((blob) => registry.fetch(name, blob, 0, {}, signal)));
  assert.deepEqual(await registry.resolve(name, {}, signal), image.target);
  assert.equal(tokens.requests.length, 1);
  assert.equal(tokens.requests[0]?.headers.authorization, undefined);

  const raft = `${server.host}/sea/raft:1`;
  const [layer] = image.layers;
  assert.ok(layer);
  const mounted = await registry.pushBlob(
    raft,
    layer,
    async function* () {},
    { credentials: testUser },
    signal,
    'sea/ark',
  );
  assert.equal(mounted, 'mounted');
});

test('an identity token is exchanged by a form, and no other way', { skip: noRegistry() }, async (t) => {
  const { dir, registry } = await scratch(t);
  const pair = await selfSigned(dir, 'tokens');
  await using tokens = await serveTokens({ key: await readFile(pair.key, 'utf8'), pem: pair.pem }, service, 'harbour');
  await using server = await startRegistry({
    auth: { realm: `${tokens.url}/token`, service, issuer: 'harbour', certificate: pair.certificate },
  });
  await writeFile(
    join(dir, 'config.json'),
    JSON.stringify({ auths: { [server.host]: { auth: '', identitytoken: identityToken } } }),
  );
  const name = `${server.host}/sea/ark:1`;
  const [layer] = image.layers;
  assert.ok(layer);
  const data = async function* (): AsyncGenerator<Uint8Array> {
    yield image.blobs.get(layer.digest) ?? Buffer.alloc(0);
  };
  assert.equal(await registry.pushBlob(name, layer, data, {}, signal), 'pushed');
  assert.deepEqual(
    tokens.requests.map(({ method }) => method),
    ['POST'],
  );
  assert.equal(tokens.requests[0]?.headers.authorization, undefined);
});

test('a token that is refused before its time is replaced', async (t) => {
  const { registry } = await scratch(t);
  let valid = 0;
  await using server = await serve((request, response) => {
    const { authorization } = request.headers;
    if (request.url?.startsWith('/token') === true) return void response.end(JSON.stringify({ token: `t${++valid}` }));
    if (authorization !== `Bearer t${valid}` || valid === 0) {
      return void response.writeHead(401, { 'www-authenticate': `Bearer realm="${server.url}/token"` }).end();
    }
    response.writeHead(200, {
      'content-type': image.target.mediaType,
      'docker-content-digest': image.target.digest,
      'content-length': image.target.size,
    });
    response.end();
  });
  await registry.resolve(`${server.host}/a:1`, {}, signal);
  await registry.resolve(`${server.host}/a:1`, {}, signal);
  assert.equal(valid, 1);
  // The registry forgets all tokens.
  valid = 10;
  await registry.resolve(`${server.host}/a:1`, {}, signal);
  assert.equal(valid, 11);
});

test('a login goes to no token server that speaks plain HTTP when the registry speaks TLS', async (t) => {
  const { dir, registry } = await scratch(t);
  const { key, pem } = await selfSigned(dir);
  await using thief = await serve((_request, response) => void response.end('{}'));
  await using server = await serve(
    (_request, response) =>
      void response.writeHead(401, { 'www-authenticate': `Bearer realm="${thief.url}/token"` }).end(),
    { cert: pem, key: await readFile(key, 'utf8') },
  );
  await assert.rejects(registry.resolve(`${server.host}/a:1`, { credentials: testUser, skipVerify: true }, signal), {
    code: 'unavailable',
    message: new RegExp(`its token server "${thief.host}" speaks plain HTTP: no login is sent there`),
  });
  assert.deepEqual(thief.requests, []);
});

test('a token server that answers nonsense is named', async (t) => {
  const { registry } = await scratch(t);
  const answers = ['{}', 'no json', '{"token":"a\\r\\nb"}', '{"token":7}'];
  await using server = await serve((request, response) => {
    if (request.url?.startsWith('/token') === true) return void response.end(answers.shift());
    response.writeHead(401, { 'www-authenticate': `Bearer realm="${server.url}/token"` }).end();
  });
  for (let left = answers.length; left > 0; left--) {
    await assert.rejects(registry.resolve(`${server.host}/a:1`, {}, signal), {
      code: 'unavailable',
      message: /its token server ".*" gave no token/,
    });
  }
});

test('a login that came with a request is not shown to a mirror', async (t) => {
  const { dir, registry } = await scratch(t);
  await using mirror = await serve(
    (_request, response) => void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
  );
  await writeHosts(dir, 'r.invalid', `server = "http://127.0.0.1:9"\n[host."${mirror.url}"]\n`);
  await assert.rejects(registry.resolve('r.invalid/a:1', { credentials: testUser }, signal), { code: 'unavailable' });
  assert.ok(mirror.requests.length > 0);
  assert.deepEqual(
    mirror.requests.filter(({ headers }) => headers.authorization !== undefined),
    [],
  );
});

async function writeHosts(dir: string, host: string, text: string): Promise<void> {
  await mkdir(join(dir, host));
  await writeFile(join(dir, host, 'hosts.toml'), text);
}
