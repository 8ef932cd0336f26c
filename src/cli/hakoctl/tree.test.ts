import assert from 'node:assert/strict';
import { test } from 'node:test';
import { candidates } from './complete.ts';
import { isGroup, type Leaf, type Tree } from './command.ts';
import { leafHelp } from './help.ts';
import { tree } from './tree.ts';

const leaves = (commands: Tree, path: readonly string[] = []): [path: string[], leaf: Leaf][] =>
  Object.entries(commands).flatMap(([name, node]) =>
    isGroup(node) ? leaves(node.commands, [...path, name]) : [[[...path, name], node] as [string[], Leaf]],
  );

/** Words of `ctr` 2.1's tree that must be commands here; those of erofs are not. */
const ofCtr = `plugins list|plugins inspect-runtime|version|containers create|containers delete|containers info|containers list|
containers label|containers checkpoint|containers restore|content active|content delete|content edit|content fetch|
content fetch-object|content fetch-blob|content get|content ingest|content list|content push-object|content label|
content prune references|events|images check|images export|images import|images inspect|images list|images mount|
images unmount|images pull|images push|images prune|images delete|images tag|images label|images convert|images usage|
leases list|leases create|leases delete|namespaces create|namespaces list|namespaces remove|namespaces label|pprof block|
pprof goroutines|pprof heap|pprof profile|pprof threadcreate|pprof trace|run|snapshots commit|snapshots diff|snapshots info|
snapshots list|snapshots mounts|snapshots prepare|snapshots delete|snapshots label|snapshots tree|snapshots unpack|
snapshots usage|snapshots view|install|oci spec|info|deprecations list`;

test('every command of ctr is there', () => {
  const ours = new Set(leaves(tree).map(([path]) => path.join(' ')));
  const missing = ofCtr
    .split('|')
    .map((words) => words.trim())
    .filter((words) => !ours.has(words));
  assert.deepEqual(missing, []);
});

test('every command loads, and its help shows its flags and an example', async () => {
  for (const [path, leaf] of leaves(tree)) {
    const command = await leaf.load();
    const text = leafHelp(path, leaf, command);
    if (leaf.hidden === true) continue;
    assert.ok(command.examples.length > 0, `${path.join(' ')} has no example`);
    for (const [example] of command.examples) assert.ok(text.includes(`hakoctl ${example}`));
    for (const [name, { hidden }] of Object.entries(command.flags))
      if (hidden !== true) assert.ok(text.includes(`--${name}`), `${path.join(' ')} --${name}`);
  }
});

test('names and aliases are each used once in their group', () => {
  const check = (commands: Tree): void => {
    const names = Object.entries(commands).flatMap(([name, { aliases }]) => [name, ...(aliases ?? [])]);
    assert.deepEqual(names, [...new Set(names)]);
    for (const node of Object.values(commands)) if (isGroup(node)) check(node.commands);
  };
  check(tree);
});

test('a command line is completed by commands and flags', async () => {
  const words = async (...typed: string[]): Promise<string[]> => (await candidates(typed, {})).map(([word]) => word);
  assert.deepEqual(await words('imag'), ['images']);
  assert.deepEqual(await words('-n', 'x', 'i', 'pu'), ['pull', 'push']);
  assert.deepEqual(await words('images', 'delete', '--s'), ['--sync']);
  assert.deepEqual(await words('--addr'), ['--address']);
  assert.ok(!(await words('')).includes('__complete'));
});
