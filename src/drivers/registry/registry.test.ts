import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { RegistryOptions } from '#core/registry.ts';
import { makeImage, pushImage } from '../../../test/support/images.ts';
import { noRegistry, startRegistry, testUser } from '../../../test/support/registry.ts';
import { RegistryClient, type RegistryClientOptions } from './registry.ts';

const signal = new AbortController().signal;
const image = makeImage({ layers: [[{ name: 'hello', data: 'hello' }]] });

/** A client that reads no file of this machine; `dir` is where its hosts.toml files and config.json are. */
async function client(
  t: TestContext,
  options: RegistryClientOptions = {},
): Promise<{ registry: RegistryClient; dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'hako-hosts-'));
  const registry = new RegistryClient({
    configDirs: [dir],
    dockerConfig: join(dir, 'config.json'),
    retries: { attempts: 3, firstDelay: 5, maxDelay: 100 },
    ...options,
  });
  t.after(async () => {
    registry[Symbol.dispose]();
    await rm(dir, { recursive: true });
  });
  return { registry, dir };
}

async function hostsToml(dir: string, host: string, text: string): Promise<void> {
  await mkdir(join(dir, host), { recursive: true });
  await writeFile(join(dir, host, 'hosts.toml'), text);
}

async function bytes(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function fetchAll(registry: RegistryClient, name: string, options: RegistryOptions = {}): Promise<void> {
  const target = await registry.resolve(name, options, signal);
  assert.deepEqual(target, image.target);
  assert.deepEqual(await bytes(await registry.fetch(name, target, 0, options, signal)), image.manifest);
  const [layer] = image.layers;
  assert.ok(layer);
  const whole = image.blobs.get(layer.digest);
  assert.deepEqual(await bytes(await registry.fetch(name, layer, 0, options, signal)), whole);
  assert.deepEqual(await bytes(await registry.fetch(name, layer, 10, options, signal)), whole?.subarray(10));
  assert.deepEqual(await bytes(await registry.fetch(name, layer, layer.size, options, signal)), Buffer.alloc(0));
}

async function* once(data: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += 1000) yield await Promise.resolve(data.subarray(at, at + 1000));
}

async function pushAll(registry: RegistryClient, name: string, options: RegistryOptions = {}): Promise<void> {
  for (const blob of [...image.layers, image.config]) {
    const data = image.blobs.get(blob.digest) ?? Buffer.alloc(0);
    assert.equal(await registry.pushBlob(name, blob, () => once(data), options, signal), 'pushed');
    assert.equal(await registry.pushBlob(name, blob, () => once(data), options, signal), 'exists');
  }
  assert.equal(await registry.pushManifest(name, image.target, image.manifest, options, signal), image.target.digest);
}

test(
  'an image goes to a registry on loopback and comes back, without being told that it is plain HTTP',
  { skip: noRegistry() },
  async (t) => {
    await using server = await startRegistry();
    const { registry } = await client(t);
    const name = `${server.host}/sea/ark:1`;
    await pushAll(registry, name);
    await fetchAll(registry, name);
    await fetchAll(registry, `${server.host}/sea/ark@${image.target.digest}`);
    const [layer] = image.layers;
    assert.ok(layer);
    const mounted = await registry.pushBlob(
      `${server.host}/sea/raft:1`,
      layer,
      () => once(Buffer.alloc(0)),
      {},
      signal,
      'sea/ark',
    );
    assert.equal(mounted, 'mounted');
  },
);

test('localhost is loopback by name, too', { skip: noRegistry() }, async (t) => {
  await using server = await startRegistry();
  const { registry } = await client(t);
  await pushImage(server.url, 'ark', '1', image);
  await fetchAll(registry, `localhost:${server.port}/ark:1`);
});

test(
  'an unknown image and an unknown repository are told apart, each in one line',
  { skip: noRegistry() },
  async (t) => {
    await using server = await startRegistry();
    const { registry } = await client(t);
    await pushImage(server.url, 'ark', '1', image);
    await assert.rejects(registry.resolve(`${server.host}/ark:2`, {}, signal), {
      code: 'not-found',
      message: `registry "${server.host}": image "ark:2": not found`,
    });
    const ghost = { ...image.target, digest: `sha256:${'0'.repeat(64)}` };
    await assert.rejects(
      registry.fetch(`${server.host}/ark:1`, { ...ghost, mediaType: 'application/octet-stream' }, 0, {}, signal),
      {
        code: 'not-found',
        message: `registry "${server.host}": blob "${ghost.digest}" of "ark": not found`,
      },
    );
  },
);

test('a registry that is down is named, and told of at once', { skip: noRegistry() }, async (t) => {
  const server = await startRegistry();
  await server.stop();
  const { registry } = await client(t);
  await assert.rejects(registry.resolve(`${server.host}/ark:1`, {}, signal), {
    code: 'unavailable',
    message: `registry "${server.host}": connection refused: is it running?`,
  });
});

test(
  'a self-signed certificate is refused until hosts.toml names its CA, and no restart is needed',
  { skip: noRegistry() },
  async (t) => {
    await using server = await startRegistry({ tls: true });
    const { registry, dir } = await client(t);
    await pushImage(server.url, 'ark', '1', image, { ca: server.ca ?? '' });
    const name = `${server.host}/ark:1`;
    await assert.rejects(registry.resolve(name, {}, signal), {
      code: 'unavailable',
      message: new RegExp(
        `^registry "${server.host}": certificate is self-signed and not trusted: add its CA to hosts.toml`,
      ),
    });
    await fetchAll(registry, name, { skipVerify: true });
    await hostsToml(dir, `127.0.0.1_${server.port}_`, `server = "${server.url}"\nca = "${server.caPath}"\n`);
    await fetchAll(registry, name);
    await hostsToml(dir, `127.0.0.1_${server.port}_`, `ca = "${server.caPath}"\ndial_timeout = "5s"\n`);
    await fetchAll(registry, name);
    await rm(join(dir, `127.0.0.1_${server.port}_`), { recursive: true });
    await assert.rejects(registry.resolve(name, {}, signal), { code: 'unavailable' });
    await mkdir(join(dir, server.host));
    await writeFile(join(dir, server.host, 'ca.crt'), server.ca ?? '');
    await fetchAll(registry, name);
  },
);

test('plain HTTP to a registry that wants TLS says what the registry says', { skip: noRegistry() }, async (t) => {
  await using server = await startRegistry({ tls: true });
  const { registry } = await client(t);
  await assert.rejects(registry.resolve(`${server.host}/ark:1`, { plainHttp: true }, signal), {
    code: 'invalid-argument',
    message: /^registry "127.0.0.1:\d+": image "ark:1": refused with status 400.*HTTPS/,
  });
});

test(
  'a password is needed where the registry wants one: from the request, or from config.json',
  { skip: noRegistry() },
  async (t) => {
    await using server = await startRegistry({ auth: 'basic' });
    const { registry, dir } = await client(t);
    const name = `${server.host}/ark:1`;
    await assert.rejects(registry.resolve(name, {}, signal), {
      code: 'unauthenticated',
      message: /: pull access denied for image "ark:1": it does not exist, or needs a login/,
    });
    await pushAll(registry, name, { credentials: testUser });
    await fetchAll(registry, name, { credentials: testUser });
    await assert.rejects(
      registry.resolve(name, { credentials: { ...testUser, password: 'sesame' } }, signal),
      (error: Error) => {
        assert.match(error.message, /the login of "harbour" was refused/);
        assert.doesNotMatch(error.message, /sesame/);
        return true;
      },
    );
    const auth = Buffer.from(`${testUser.username}:${testUser.password}`).toString('base64');
    await writeFile(join(dir, 'config.json'), JSON.stringify({ auths: { [`http://${server.host}/v1/`]: { auth } } }));
    await fetchAll(registry, name);
  },
);

test(
  'mirrors are asked in order and told whose images are meant; a dead one is passed over',
  { skip: noRegistry() },
  async (t) => {
    const dead = await startRegistry();
    await dead.stop();
    await using mirror = await startRegistry();
    const lines: string[] = [];
    const { registry, dir } = await client(t, {
      logger: { log: (level, message, fields) => lines.push(`${level} ${message} ${String(fields?.['host'])}`) },
    });
    await pushImage(mirror.url, 'library/ark', '1', image);
    await hostsToml(
      dir,
      'docker.io',
      `server = "http://${dead.host}"\n[host."http://${dead.host}"]\ncapabilities = ["pull", "resolve"]\n[host."http://${mirror.host}"]\n`,
    );
    await fetchAll(registry, 'docker.io/library/ark:1');
    assert.match(lines[0] ?? '', new RegExp(`^warn mirror cannot serve, asking the next host ${dead.host}$`));
    assert.match(mirror.log(), /manifests\/1\?ns=docker\.io/);
  },
);

test('a host without the capability is not asked, and a registry nobody may be pushed to says so', async (t) => {
  const { registry, dir } = await client(t);
  await hostsToml(dir, '_default', 'server = "https://registry.invalid"\ncapabilities = ["pull", "resolve"]\n');
  await assert.rejects(registry.pushManifest('registry.invalid/a:1', image.target, image.manifest, {}, signal), {
    code: 'failed-precondition',
    message: 'registry "registry.invalid": its hosts.toml names no host with the capability "push"',
  });
});
