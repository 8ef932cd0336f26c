import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkRooms, importsOf } from './lib/rooms.mjs';

/** Checks a `src` of the given files. */
function check(t, files) {
  const root = mkdtempSync(join(tmpdir(), 'hako-rooms-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, 'src', path)), { recursive: true });
    writeFileSync(join(root, 'src', path), text);
  }
  return { src: join(root, 'src'), faults: checkRooms(join(root, 'src')) };
}

test('what the table allows passes', (t) => {
  const { faults } = check(t, {
    'base/a.ts': "import { readFileSync } from 'node:fs';\nimport { b } from './b.ts';",
    'services/engine/engine.ts': "import type { A } from '#base/a.ts';\nimport { t } from '../tasks.ts';",
    'doors/docker/x.ts': "import { y } from './deep/y.ts';\nimport { c } from '../common.ts';",
    'drivers/snapshotters/native/a.ts': "import { l } from '../layers.ts';",
    'sys/libc.ts': "import koffi from 'koffi';",
    'drivers/registry/x.test.ts': "import { r } from '../../../test/support/registry.ts';",
  });
  assert.deepEqual(faults, []);
});

const violations = {
  'a room below that reaches up': ['base/a.ts', "import { x } from '#services/x.ts';"],
  'a type import': ['drivers/content/a.ts', "import type { X } from '#services/x.ts';"],
  'a dynamic import': ['core/a.ts', "const x = await import('#sys/x.ts');"],
  'a re-export': ['wire/a.ts', "export * from '#core/x.ts';"],
  'an import of several lines': ['metadata/a.ts', "import {\n  a,\n  b,\n} from '#drivers/content/x.ts';"],
  'an import for its effect': ['client/a.ts', "import '#services/x.ts';"],
  'a relative import that leaves the room': ['core/a.ts', "import { x } from '../base/x.ts';"],
  'a worker outside of the room': ['services/a.ts', "new Worker(new URL('../drivers/content/w.ts', import.meta.url));"],
  'a door that sees a door': ['doors/docker/a.ts', "import { x } from '../containerd/x.ts';"],
  'a door that sees a door by name': ['doors/cri/a.ts', "import { x } from '#doors/docker/x.ts';"],
  'a driver that sees a driver': ['drivers/registry/a.ts', "import { x } from '#drivers/content/x.ts';"],
  'a snapshotter that sees a snapshotter': [
    'drivers/snapshotters/native/a.ts',
    "import { x } from '../overlayfs/x.ts';",
  ],
  'a package where it does not belong': ['services/a.ts', "import koffi from 'koffi';"],
  'a package that nobody may use': ['base/a.ts', "import _ from 'lodash';"],
  'a room that is none': ['util/a.ts', "import { x } from '#base/x.ts';"],
};
for (const [what, [file, text]] of Object.entries(violations)) {
  test(`${what} is found`, (t) => {
    const { faults } = check(t, { [file]: text });
    assert.equal(faults.length, 1, faults.join('\n'));
    assert.ok(faults[0].startsWith(`src/${file}:`), faults[0]);
  });
}

test('the script ends with 1 for a planted violation, and names file and line', (t) => {
  const { src } = check(t, { 'base/a.ts': "\n\nimport { x } from '#services/x.ts';" });
  const { status, stderr } = spawnSync(process.execPath, [fileURLToPath(new URL('rooms.mjs', import.meta.url)), src], {
    encoding: 'utf8',
  });
  assert.equal(status, 1);
  assert.match(stderr, /src\/base\/a\.ts:[13]: "base" may not import "services"/);
});

test('comments and plain strings are no imports', () => {
  const text =
    "// import 'a'\n/* import x from 'b' */\nconst s = \"import x from 'c'\";\nconst from = ['from', 'd'];\n";
  assert.deepEqual(importsOf(text), []);
});
