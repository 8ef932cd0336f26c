import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { defaultConfig, loadConfig } from './load.ts';
import { printConfig } from './print.ts';
import { schema } from './schema.ts';

/** A directory with configuration files; gives the path of the first one. */
function files(t: TestContext, texts: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), 'hako-config-'));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return join(directory, Object.keys(texts)[0]!);
}

test('defaults are as the design fixes them, and sockets follow the state directory', (t) => {
  const config = defaultConfig();
  assert.equal(config.root, '/var/lib/hakobune');
  assert.equal(config.grpc.address, '/run/hakobune/hakobune.sock');
  assert.equal(config.docker.address, '/run/hakobune/docker.sock');
  const moved = loadConfig(files(t, { 'a.toml': 'state = "/run/other"' })).config;
  assert.equal(moved.grpc.address, '/run/other/hakobune.sock');
  assert.equal(moved.docker.address, '/run/other/docker.sock');
});

test('the command line wins over the file, and its paths are relative to where it was typed', (t) => {
  const file = files(t, { 'a.toml': 'root = "/a"\n[debug]\nlevel = "warn"\n[docker]\naddress = "/d.sock"' });
  const { config } = loadConfig(file, { root: 'b', logLevel: 'trace', dockerAddress: '/e.sock' });
  assert.equal(config.root, join(process.cwd(), 'b'));
  assert.equal(config.debug.level, 'trace');
  assert.equal(config.docker.address, '/e.sock');
});

const refusals: Record<string, [text: string, message: RegExp]> = {
  'a wrong type': ['root = 5', /a\.toml: root is 5: must be an absolute path$/],
  'a relative path': ['[grpc]\naddress = "x.sock"', /: grpc\.address is "x\.sock": must be an absolute path$/],
  'a version that is gone': ['version = 1', /: version is 1: must be a whole number from 2 to 3$/],
  'a number out of range': ['oom_score = 1001', /: oom_score is 1001: must be a whole number from -1000 to 1000$/],
  'an unknown choice': ['[debug]\nlevel = "loud"', /: debug\.level is "loud": must be one of "trace", "debug", /],
  'a choice that is to come': ['[shim]\ngroup = "pod"', /: shim\.group = "pod" is not implemented: use "daemon"$/],
  'a wrong time span': [
    '[timeouts]\n"hakobune.timeout.shutdown" = "5"',
    /: timeouts\."hakobune\.timeout\.shutdown" is "5": must be a time span/,
  ],
  'a list with something else in it': [
    'disabled_plugins = ["a", 1]',
    /: disabled_plugins is \["a",1\]: must be a list of texts/,
  ],
  'a value where a table belongs': ['grpc = "x"', /: grpc is "x": must be a table$/],
  'a wrong value in an entry': [
    '[proxy_plugins.x]\ntype = "disk"',
    /: proxy_plugins\.x\.type is "disk": must be one of "snapshot"/,
  ],
  'a syntax error': ['root = "/a"\nstate = \n', /a\.toml:2:\d+: /],
  'an import that is not there': ['imports = ["none.toml"]', /a\.toml: imports: .*none\.toml: no such file$/],
};
for (const [what, [text, message]] of Object.entries(refusals)) {
  test(`${what} is refused with file and key`, (t) => {
    const file = files(t, { 'a.toml': text });
    assert.throws(
      () => loadConfig(file),
      (error: Error) => message.test(error.message) && error.name === 'HakoError',
    );
  });
}

test('unknown keys are warned about with the nearest known one', (t) => {
  const file = files(t, { 'a.toml': 'rot = "/x"\nlevel = "debug"\nzzzzzz = 1\n[grpc]\nadress = "/a"\n' });
  const { warnings } = loadConfig(file);
  assert.deepEqual(warnings, [
    `${file}: unknown key rot is ignored: did you mean "root"?`,
    `${file}: unknown key level is ignored: it belongs to [debug]`,
    `${file}: unknown key zzzzzz is ignored`,
    `${file}: unknown key grpc.adress is ignored: did you mean "address"?`,
  ]);
});

test('a key without effect is warned about only when it says something', (t) => {
  const file = files(t, { 'a.toml': '[metrics]\naddress = "127.0.0.1:1338"\ngrpc_histogram = false\n' });
  assert.deepEqual(loadConfig(file).warnings, [`${file}: metrics.address has no effect in this version`]);
});

test('keys that live in every object are unknown keys like others', (t) => {
  const { config, warnings } = loadConfig(files(t, { 'a.toml': 'constructor = 1\n[plugins.__proto__]\nx = 1\n' }));
  assert.equal(warnings.length, 1);
  assert.equal(({} as Record<string, unknown>)['x'], undefined);
  assert.deepEqual(Object.keys(config.plugins), ['__proto__']);
});

test('imports win key by key, and lists of plugins add up', (t) => {
  const file = files(t, {
    'a.toml':
      'imports = ["d/*.toml"]\nroot = "/a"\nstate = "/s"\ndisabled_plugins = ["x.y"]\n[plugins."p.q"]\none = 1\ntwo = 2\n',
    'd/1.toml': 'root = "/one"\ndisabled_plugins = ["x.z", "x.y"]\n[plugins."p.q"]\ntwo = 22\n',
    'd/2.toml': 'root = "/two"\n',
  });
  const { config, files: read } = loadConfig(file);
  assert.equal(config.root, '/two');
  assert.equal(config.state, '/s');
  assert.deepEqual(config.disabled_plugins, ['x.y', 'x.z']);
  assert.deepEqual({ ...(config.plugins['p.q'] as object) }, { one: 1, two: 22 });
  assert.equal(read.length, 3);
});

test('imports in a circle are refused, the same file by two ways is not', (t) => {
  const circle = files(t, { 'a.toml': 'imports = ["b.toml"]', 'b.toml': 'imports = ["a.toml"]' });
  assert.throws(() => loadConfig(circle), /b\.toml: imports go in a circle: .*a\.toml -> .*b\.toml -> .*a\.toml$/);
  const diamond = files(t, {
    'a.toml': 'imports = ["b.toml", "c.toml"]',
    'b.toml': 'imports = ["d.toml"]',
    'c.toml': 'imports = ["d.toml"]',
    'd.toml': 'root = "/d"',
  });
  assert.equal(loadConfig(diamond).config.root, '/d');
});

test('the printed default reads back as the default, without a warning', (t) => {
  const { config, warnings } = loadConfig(
    files(t, { 'a.toml': printConfig(schema, defaultConfig(), { comments: true }) }),
  );
  assert.deepEqual(warnings, []);
  assert.deepEqual(config, defaultConfig());
});

test('a printed configuration reads back as itself', (t) => {
  const text = [
    'root = "/with \\"quotes\\""',
    '[timeouts]',
    '"io.containerd.timeout.shim.load" = "1m30.5s"',
    '[plugins."io.containerd.snapshotter.v1.overlayfs"]',
    'upperdir_label = true',
    'deep = { a = [1, 2], b = "x" }',
    '[proxy_plugins."my.one"]',
    'type = "snapshot"',
    'address = "/run/x.sock"',
    '[proxy_plugins."my.one".exports]',
    'root = "/y"',
  ].join('\n');
  const { config } = loadConfig(files(t, { 'a.toml': text }));
  const again = loadConfig(files(t, { 'b.toml': printConfig(schema, config, { comments: false }) })).config;
  assert.deepEqual(JSON.parse(JSON.stringify(again)), JSON.parse(JSON.stringify(config)));
});
