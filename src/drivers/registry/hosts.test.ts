import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { findEndpoints } from './hosts.ts';

const root = await mkdtemp(join(tmpdir(), 'hako-hosts-'));
after(() => rm(root, { recursive: true }));
let count = 0;

/** A directory of hosts with these files in it. */
async function dir(files: Record<string, string>): Promise<string> {
  const made = join(root, String(count++));
  await mkdir(made);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(made, name)), { recursive: true });
    await writeFile(join(made, name), text);
  }
  return made;
}

const pem = (name: string): string => `-----BEGIN ${name}-----\n-----END ${name}-----\n`;

test('without any file a registry is asked over TLS, and Docker Hub at its own host', async () => {
  const [hub, ...none] = await findEndpoints('docker.io', [join(root, 'nowhere')], {});
  assert.deepEqual(
    [hub?.base, hub?.host, hub?.namespace, none.length],
    ['https://registry-1.docker.io/v2', 'registry-1.docker.io', undefined, 0],
  );
  const [plain] = await findEndpoints('r.example:5000', [], { plainHttp: true, skipVerify: true });
  assert.deepEqual(
    [plain?.base, plain?.httpFallback, plain?.tls.skipVerify],
    ['http://r.example:5000/v2', false, true],
  );
  for (const host of ['localhost:5000', '127.0.0.1:5000', '127.9.9.9', '[::1]:5000']) {
    assert.equal((await findEndpoints(host, [], {}))[0]?.httpFallback, true, host);
  }
  for (const host of ['128.0.0.1', 'localhost.example', 'r.example:5000', '127.0.0.1.example']) {
    assert.equal((await findEndpoints(host, [], {}))[0]?.httpFallback, false, host);
  }
});

test('mirrors come in the order of the file, then the server', async () => {
  const made = await dir({
    'docker.io/hosts.toml': `
server = "https://hub.example"
[host."https://z.example:8443/some/path"]
  capabilities = ["pull"]
  dial_timeout = "1m30s"
  [host."https://z.example:8443/some/path".header]
    x-key = ["a", "b"]
    x-one = "c"
[host."http://a.example/v2"]
[host."m.example/odd"]
  override_path = true
  skip_verify = true
`,
  });
  const found = await findEndpoints('docker.io', [made], {});
  assert.deepEqual(
    found.map(({ base }) => base),
    ['https://z.example:8443/some/path/v2', 'http://a.example/v2', 'https://m.example/odd', 'https://hub.example/v2'],
  );
  assert.deepEqual(
    found.map(({ upstream }) => upstream),
    [false, false, false, true],
  );
  assert.deepEqual(
    found.map(({ namespace }) => namespace),
    ['docker.io', 'docker.io', 'docker.io', 'docker.io'],
  );
  assert.deepEqual(found[0]?.headers, { 'x-key': ['a', 'b'], 'x-one': ['c'] });
  assert.deepEqual([found[0]?.capabilities, found[0]?.dialTimeout, found[2]?.tls.skipVerify], [['pull'], 90_000, true]);
});

test('certificates are read beside the file, in each of the forms that containerd takes', async () => {
  const made = await dir({
    'a_5000_/hosts.toml': 'ca = ["ca.pem", "more/ca.pem"]\nclient = [["c.pem", "k.pem"], "both.pem"]\n',
    'a_5000_/ca.pem': pem('ONE'),
    'a_5000_/more/ca.pem': pem('TWO'),
    'a_5000_/c.pem': pem('C'),
    'a_5000_/k.pem': pem('K'),
    'a_5000_/both.pem': pem('B'),
  });
  const [endpoint] = await findEndpoints('a:5000', [made], {});
  assert.deepEqual(endpoint?.tls, {
    ca: [pem('ONE'), pem('TWO')],
    client: [
      { cert: pem('C'), key: pem('K') },
      { cert: pem('B'), key: pem('B') },
    ],
    skipVerify: false,
  });
  assert.equal(endpoint?.base, 'https://a:5000/v2');
});

test("Docker's own layout of certificates serves where there is no hosts.toml", async () => {
  const made = await dir({
    'a:5000/ca.crt': pem('CA'),
    'a:5000/me.cert': pem('C'),
    'a:5000/me.key': pem('K'),
    'a:5000/notes': 'x',
  });
  const [endpoint] = await findEndpoints('a:5000', [made], {});
  assert.deepEqual(endpoint?.tls, { ca: [pem('CA')], client: [{ cert: pem('C'), key: pem('K') }], skipVerify: false });
});

test('the directory that names the host comes before _default, and the first root before the next', async () => {
  const first = await dir({
    '_default/hosts.toml': 'server = "https://default"',
    'b/hosts.toml': 'server = "https://first"',
  });
  const second = await dir({
    'a/hosts.toml': 'server = "https://second"',
    'b/hosts.toml': 'server = "https://other"',
    'c/unrelated': '',
  });
  const server = async (host: string): Promise<string | undefined> =>
    (await findEndpoints(host, [first, second], {}))[0]?.base;
  assert.equal(await server('a'), 'https://second/v2');
  assert.equal(await server('b'), 'https://first/v2');
  assert.equal(await server('c'), 'https://default/v2');
});

test('a wrong file is named with its key and what is allowed', async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['server = ', /hosts\.toml": Invalid TOML/],
    ['server = 5', /hosts\.toml": server: must be an address/],
    ['server = "https://u:p@h"', /server: credentials do not belong here/],
    ['server = "http://"', /server: .*is no address/],
    ['capabilites = ["pull"]', /capabilites: unknown key: did you mean capabilities\?/],
    ['capabilities = ["fly"]', /capabilities: unknown capability "fly": want pull, resolve, push, referrers/],
    ['[host."https://m"]\nskip_verify = "yes"', /host\."https:\/\/m"\.skip_verify: must be true or false/],
    ['[host."https://m"]\ndial_timeout = "soon"', /dial_timeout: must be a time span such as "10s"/],
    ['ca = 1', /ca: must be a file name/],
    ['ca = "gone.pem"', /gone\.pem": no such file/],
    ['client = [["only"]]', /client: a pair is \[certificate, key\]/],
    ['[header]\nx = "secret\\nline"', /header: "x": name or value has characters/],
    ['host = 1', /host: must be tables/],
  ];
  for (const [text, message] of cases) {
    const made = await dir({ 'a/hosts.toml': text });
    await assert.rejects(findEndpoints('a', [made], {}), (error: Error & { code: string }) => {
      assert.equal(error.code, 'failed-precondition', text);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  }
  // What only a newer containerd knows is no fault.
  const made = await dir({ 'a/hosts.toml': 'something_of_tomorrow = 1\nserver = "https://a"' });
  assert.equal((await findEndpoints('a', [made], {})).length, 1);
});
