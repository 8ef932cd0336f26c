import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { ActivationId, Activated } from '#core/activations.ts';
import type { Mount } from '#core/mounts.ts';
import { StateActivator } from './activator.ts';

const never = new AbortController().signal;
let place: string;
let activator: StateActivator;
let last = 0;
const at = (name: string): string => path.join(place, name);

before(async () => {
  place = await mkdtemp(path.join(os.tmpdir(), 'hako-mounts-'));
  await mkdir(at('root'));
  activator = await StateActivator.start({ state: at('state'), roots: [at('root')] });
});
after(async () => {
  for (const id of await activator.list()) await activator.deactivate(id);
  await rm(place, { recursive: true, force: true });
});

const bind = (source: string, type = 'bind'): Mount => ({ type, source, options: ['rbind', 'rw'] });
const activate = async (mounts: Mount[], temporary = false): Promise<Activated & { id: ActivationId }> => {
  const id = String(++last) as ActivationId;
  return { id, ...(await activator.activate(id, mounts, { temporary }, never)) };
};
const mounted = (): string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(place));
/** Some machines have no loop devices: then what needs them is refused, which is told apart here. */
const hasLoop = existsSync('/dev/loop-control');

test('mounts that the caller can make are left to the caller', async () => {
  await assert.rejects(activate([bind('/etc')]), { code: 'unimplemented' });
  await assert.rejects(activate([]), { code: 'unimplemented' });
  await assert.rejects(activate([{ type: 'unknown/bind', source: '/etc', options: [] }]), { code: 'unimplemented' });
  assert.deepEqual(await activator.list(), []);
});

test('a format is filled in from the mounts before it, and only those are made', async () => {
  for (const name of ['one', 'two', 'upper', 'work']) await mkdir(at(name));
  await writeFile(at('one/file'), '1');
  const { id, active, system } = await activate([
    bind(at('one')),
    bind(at('two')),
    {
      type: 'format/overlay',
      source: 'overlay',
      options: [
        'lowerdir={{ overlay 1 0 }}',
        `upperdir=${at('upper')}`,
        `workdir=${at('work')}`,
        '{{mount 0}}|{{source 1}}',
      ],
    },
    bind('/last'),
  ]);
  assert.equal(active.length, 2);
  const [one, two] = active.map(({ mountPoint }) => mountPoint);
  assert.equal(readFileSync(path.join(one!, 'file'), 'utf8'), '1');
  assert.deepEqual(system[0], {
    type: 'overlay',
    source: 'overlay',
    options: [`lowerdir=${two}:${one}`, `upperdir=${at('upper')}`, `workdir=${at('work')}`, `${one}|${at('two')}`],
  });
  assert.deepEqual(system[1], bind('/last'));
  await activator.deactivate(id);
  await activator.deactivate(id);
  assert.deepEqual(mounted(), []);
  assert.deepEqual(await readdir(at('state')), []);
});

test('temporary mounts are all made, and one bind mount of the last is given', async () => {
  const { id, active, system } = await activate([bind(at('one')), bind('{{ mount 0 }}', 'format/bind')], true);
  assert.equal(active.length, 2);
  assert.deepEqual(system, [{ type: 'bind', source: active[1]!.mountPoint, options: ['rbind'] }]);
  assert.ok(existsSync(path.join(active[1]!.mountPoint, 'file')));
  await activator.deactivate(id);
  assert.deepEqual(mounted(), []);
});

test('what fails is undone, and says why', async () => {
  const bad = (text: string): Mount[] => [bind(at('one')), bind(text, 'format/bind')];
  for (const text of [
    '{{ mount 1 }}',
    '{{ mount -1 }}',
    '{{ nothing 0 }}',
    '{{ mount }}',
    '{{ overlay 0 7 }}',
    '{{ mount 0',
  ]) {
    await assert.rejects(activate(bad(text)), { code: 'invalid-argument' }, text);
  }
  await assert.rejects(activate([bind(at('one')), bind(at('missing'))], true), /type "bind" failed: .*ENOENT/);
  assert.deepEqual(mounted(), []);
  assert.deepEqual(await readdir(at('state')), []);
});

test('directories are made below the roots, with mode and owner, and nowhere else', async () => {
  const make = (option: string): Promise<Activated & { id: ActivationId }> =>
    activate(
      [{ type: 'mkdir/bind', source: at('one'), options: ['rbind', `X-containerd.mkdir.path=${option}`] }],
      true,
    );
  const { id, active } = await make(`${at('root/made')}:0750:7:8`);
  assert.deepEqual(active[0]!.mount.options, ['rbind']);
  const { mode, uid, gid } = await stat(at('root/made'));
  assert.deepEqual([mode & 0o7777, uid, gid], [0o750, 7, 8]);
  await activator.deactivate(id);
  await symlink('/', at('root/out'));
  for (const [option, code] of [
    ['/etc/made', 'unimplemented'],
    [`${at('root')}/../made`, 'unimplemented'],
    [`${at('root/made')}:99`, 'invalid-argument'],
    [`${at('root/made')}:755:1`, 'invalid-argument'],
  ] as const)
    await assert.rejects(make(option), { code }, option);
  await assert.rejects(make(at('root/out/made')), /EXDEV|ELOOP/);
});

test('a file system is made in an image, set up as a device and mounted', { skip: !hasLoop }, async () => {
  const mounts: Mount[] = [
    {
      type: 'mkfs/loop',
      source: at('root/image'),
      options: ['X-containerd.mkfs.size=8MiB', 'X-containerd.mkfs.fs=ext4'],
    },
    { type: 'format/ext4', source: '{{ mount 0 }}', options: ['rw'] },
    {
      type: 'format/mkdir/bind',
      source: '{{ mount 1 }}',
      options: ['X-containerd.mkdir.path={{ mount 1 }}/dir', 'rbind'],
    },
  ];
  const { id, active, system } = await activate(mounts);
  assert.match(await readlink(active[0]!.mountPoint), /^\/dev\/loop\d+$/);
  assert.deepEqual(system, [{ type: 'bind', source: active[1]!.mountPoint, options: ['rbind'] }]);
  await writeFile(path.join(active[1]!.mountPoint, 'dir/kept'), 'yes');
  await activator.deactivate(id);
  assert.deepEqual(mounted(), []);
  const again = await activate([mounts[0]!, mounts[1]!], true);
  assert.equal(readFileSync(path.join(again.active[1]!.mountPoint, 'dir/kept'), 'utf8'), 'yes');
  await activator.deactivate(again.id);
  const loop = await activate([{ type: 'ext4', source: at('root/image'), options: ['loop', 'ro'] }], true);
  assert.equal(readFileSync(path.join(loop.active[0]!.mountPoint, 'dir/kept'), 'utf8'), 'yes');
  await activator.deactivate(loop.id);
  for (const options of [
    [],
    ['X-containerd.mkfs.size=big'],
    ['X-containerd.mkfs.size=8m', 'X-containerd.mkfs.fs=vfat'],
  ])
    await assert.rejects(activate([{ type: 'mkfs/loop', source: at('root/other'), options }]), {
      code: 'invalid-argument',
    });
});
