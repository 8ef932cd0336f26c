import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  link,
  mkdir,
  mkdtemp,
  open,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { digestOf } from '#base/digest.ts';
import { errnoOf } from '#base/threads.ts';
import { memoryBlob, layerOf } from '#core/suites/differ.ts';
import { makeTar, type TarEntry } from '#core/suites/tar-writer.ts';
import { AT_FDCWD, bytesOf, mknodAt } from '#sys/at.ts';
import { mountAt, unmountAll } from '#sys/mount.ts';
import { S_IFBLK, S_IFIFO } from '#sys/stat.ts';
import { getXattr, setXattr } from '#sys/xattr.ts';
import { TarDiffer } from './differ.ts';

const never = new AbortController().signal;
let place: string;
let differ: TarDiffer;
const at = (name: string): string => path.join(place, name);

before(async () => {
  place = await mkdtemp(path.join(os.tmpdir(), 'hako-real-'));
  differ = await TarDiffer.start(at('state'));
  await makeTree(at('tree'));
});
after(async () => {
  differ[Symbol.dispose]();
  await rm(place, { recursive: true, force: true });
});

const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');

/** This machine's own files, and one of everything else. */
async function makeTree(root: string): Promise<void> {
  await mkdir(root);
  const sources = ['/etc', '/usr/share/zoneinfo', '/usr/share/perl5'].filter((source) => existsSync(source));
  for (const source of sources) execFileSync('cp', ['-a', source, path.join(root, path.basename(source))]);
  for (const name of ['/bin/busybox', '/bin/ls'].filter((name) => existsSync(name)))
    await copyFile(name, path.join(root, path.basename(name)));
  const deep = path.join(root, 'a'.repeat(100), 'b'.repeat(120));
  await mkdir(deep, { recursive: true });
  await writeFile(path.join(deep, 'näme with spaces\nand lines'), 'odd');
  await writeFile(path.join(root, 'ping'), 'x');
  await link(path.join(root, 'ping'), path.join(deep, 'hard'));
  await symlink('../'.repeat(50) + 'x'.repeat(120), path.join(root, 'long-link'));
  await chown(path.join(root, 'ping'), 1234, 2_200_000);
  await chmod(path.join(root, 'ping'), 0o4711);
  assert.equal(setXattr(bytesOf(path.join(root, 'ping')), 'security.capability', capability), 0);
  assert.equal(setXattr(bytesOf(deep), 'user.note', Buffer.from([0, 10, 61, 255])), 0);
  await chmod(path.join(root, 'ping'), 0o4711);
  mknodAt(AT_FDCWD, bytesOf(path.join(root, 'disk')), S_IFBLK | 0o640, 8, 17);
  mknodAt(AT_FDCWD, bytesOf(path.join(root, 'pipe')), S_IFIFO | 0o622, 0, 0);
  await using holes = await open(path.join(root, 'holes'), 'w');
  for (const offset of [0, 300_000, 900_000]) await holes.write(Buffer.alloc(5000, 1), 0, 5000, offset);
  await holes.truncate(2_000_000);
}

/** Everything that can be seen of a tree. Directories' sizes are the file system's business. */
function picture(root: string, seconds: boolean): string[] {
  const time = seconds ? '%Ts' : '%T@';
  const lines = execFileSync('find', ['.', '-printf', `%P|%y|%m|%U|%G|%l|${time}|%s\\0`], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  }).split('\0');
  const links = execFileSync('find', ['.', '-type', 'f', '-printf', '%P|%n\\0'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  }).split('\0');
  const sums = execFileSync('sh', ['-c', 'find . -type f -print0 | sort -z | xargs -0 sha256sum'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return [
    ...lines.map((line) => line.replace(/^(.*\|d\|.*)\|\d+$/s, '$1')).toSorted(),
    ...links.toSorted(),
    createHash('sha256').update(sums).digest('hex'),
  ];
}

for (const [name, options, seconds] of [
  ['GNU', ['--format=gnu'], true],
  ['PAX', ['--format=pax', '--xattrs', '--xattrs-include=*'], false],
  ['sparse GNU', ['--format=gnu', '--sparse'], true],
  ['sparse PAX 0.0', ['--format=pax', '--sparse', '--sparse-version=0.0'], false],
  ['sparse PAX 0.1', ['--format=pax', '--sparse', '--sparse-version=0.1'], false],
  ['sparse PAX 1.0', ['--format=pax', '--sparse', '--sparse-version=1.0'], false],
] as const) {
  test(`a tree that GNU tar packed in ${name} format comes out as it went in`, async () => {
    const archive = at('archive.tar');
    const root = await mkdtemp(at('root-'));
    execFileSync('tar', ['-C', at('tree'), ...options, '--numeric-owner', '-cf', archive, '.']);
    const data = await readFile(archive);
    const blob = { ...memoryBlob(data), path: archive };
    const { digest } = await differ.apply(
      layerOf(data),
      blob,
      [{ type: 'bind', source: root, options: ['rbind'] }],
      never,
    );
    assert.equal(digest, digestOf(data));
    assert.deepEqual(picture(root, seconds), picture(at('tree'), seconds));
    if (options.some((option) => option === '--xattrs')) {
      assert.deepEqual(getXattr(bytesOf(path.join(root, 'ping')), 'security.capability'), capability);
      const deep = path.join(root, 'a'.repeat(100), 'b'.repeat(120));
      assert.deepEqual(getXattr(bytesOf(deep), 'user.note'), Buffer.from([0, 10, 61, 255]));
    }
    if (name.startsWith('sparse'))
      assert.ok((await stat(path.join(root, 'holes'))).blocks < 1000, 'the holes are holes');
  });
}

const file = (name: string, content = name, more: Partial<TarEntry> = {}): TarEntry => ({ name, content, ...more });
const directory = (name: string, more: Partial<TarEntry> = {}): TarEntry => ({ name, type: '5', ...more });

/** An image with everything that one layer can do to another. */
const layers: TarEntry[][] = [
  [
    directory('./', { mode: 0o755, mtime: 500 }),
    directory('usr/', { mtime: 1000 }),
    directory('usr/lib/', { mode: 0o2775, uid: 3, gid: 4, mtime: 1000, pax: { 'SCHILY.xattr.user.kept': 'yes' } }),
    { name: 'lib', type: '2', link: 'usr/lib' },
    file('usr/lib/one'),
    file('usr/lib/two'),
    directory('gone/'),
    file('gone/x'),
    directory('again/'),
    file('again/old'),
    directory('opaque/', { mode: 0o700, uid: 9 }),
    file('opaque/old'),
    directory('opaque/sub/'),
    file('opaque/sub/old'),
    file('swap', 'file'),
    directory('pile/'),
    file('pile/a'),
    file('tool', 'tool', { mode: 0o4755, uid: 6, mtime: 1234 }),
  ],
  [
    file('lib/three'),
    file('usr/lib/.wh.one', ''),
    file('.wh.gone', ''),
    file('.wh.again', ''),
    directory('again/'),
    file('again/new'),
    file('opaque/.wh..wh..opq', ''),
    file('opaque/sub/new'),
    directory('swap/'),
    file('swap/inside'),
    file('pile', 'a file now'),
    { name: 'linked', type: '1', link: 'tool' },
    { name: 'usr/lib/tool2', type: '1', link: 'lib/two' },
  ],
  [
    directory('gone/'),
    file('gone/back'),
    directory('pile/'),
    file('pile/b'),
    file('swap', 'file again'),
    { name: 'linked2', type: '1', link: 'linked' },
    file('opaque/sub/.wh.new', ''),
    file('again/.wh..wh..opq', ''),
    file('implied/deep/er', 'x'),
  ],
  [file('.wh.usr', ''), file('lib2', ''), directory('usr/'), file('usr/fresh')],
  [file('.wh..wh..opq', ''), directory('only/', { mtime: 7 }), directory('usr/'), file('usr/last')],
];

/** Why this machine cannot show what overlayfs makes of a tree; undefined when it can. */
async function whyNoOverlay(): Promise<string | undefined> {
  for (const name of ['try/lower', 'try/upper', 'try/work', 'try/merged']) await mkdir(at(name), { recursive: true });
  try {
    mountAt(
      {
        type: 'overlay',
        source: 'overlay',
        options: [`lowerdir=${at('try/lower')}`, `upperdir=${at('try/upper')}`, `workdir=${at('try/work')}`],
      },
      at('try/merged'),
    );
    return undefined;
  } catch (error) {
    return `overlayfs does not work here: ${String(error)}`;
  } finally {
    unmountAll(at('try/merged'));
  }
}

test('layers unpacked beside each other for overlayfs show the same tree as one upon the other', async (context) => {
  const reason = await whyNoOverlay();
  if (reason !== undefined) return context.skip(reason);
  const merged = at('merged');
  await mkdir(at('flat'));
  await mkdir(merged);
  const lowers: string[] = [];
  for (const [n, entries] of layers.entries()) {
    const data = gzipSync(makeTar(entries));
    await differ.apply(layerOf(data), memoryBlob(data), [{ type: 'bind', source: at('flat'), options: ['rw'] }], never);
    const [upper, work] = [at(`layer-${n}`), at(`work-${n}`)];
    await mkdir(upper);
    await mkdir(work);
    const overlay = {
      type: 'overlay',
      source: 'overlay',
      options: ['index=off', `workdir=${work}`, `upperdir=${upper}`, `lowerdir=${lowers.join(':')}`],
    };
    const bind = { type: 'bind', source: upper, options: ['rbind', 'rw'] };
    await differ.apply(layerOf(data), memoryBlob(data), [n === 0 ? bind : overlay], never);
    lowers.unshift(upper);
    if (n === 0) continue;
    mountAt({ type: 'overlay', source: 'overlay', options: [`lowerdir=${lowers.join(':')}`] }, merged);
    try {
      // The times of directories nobody named are the moment of unpacking; hard links to lower files are copies.
      const seen = (root: string): string[] =>
        picture(root, true)
          .map((line) => line.replace(/\|1[67]\d{8}$/, '|now'))
          .filter((line) => !/^[^|]*\|\d+$/.test(line));
      assert.deepEqual(seen(merged), seen(at('flat')), `after layer ${n}`);
    } finally {
      unmountAll(merged);
    }
  }
  assert.deepEqual(
    execFileSync('find', ['.', '-printf', '%P\n'], { cwd: at('flat'), encoding: 'utf8' })
      .trim()
      .split('\n')
      .toSorted(),
    ['only', 'usr', 'usr/last'],
  );
});

test('a directory that a layer takes for granted is as it was below', async () => {
  const [lower, upper] = [at('lower'), at('upper')];
  await mkdir(lower);
  await mkdir(upper);
  const below = makeTar(layers[0]!);
  await differ.apply(layerOf(below), memoryBlob(below), [{ type: 'bind', source: lower, options: ['rw'] }], never);
  const data = makeTar([file('lib/new'), { name: 'hard', type: '1', link: 'tool' }]);
  await differ.apply(
    layerOf(data),
    memoryBlob(data),
    [{ type: 'overlay', source: 'overlay', options: [`upperdir=${upper}`, `lowerdir=${lower}`] }],
    never,
  );
  const made = await stat(path.join(upper, 'usr/lib'));
  assert.deepEqual([made.mode & 0o7777, made.uid, made.gid, made.mtimeMs], [0o2775, 3, 4, 1_000_000]);
  assert.equal(getXattr(bytesOf(path.join(upper, 'usr/lib')), 'user.kept')?.toString(), 'yes');
  assert.equal((await stat(upper)).mtimeMs, 500_000);
  const copied = await stat(path.join(upper, 'hard'));
  assert.deepEqual([copied.mode & 0o7777, copied.uid, copied.mtimeMs, copied.nlink], [0o4755, 6, 1_234_000, 2]);
});

test('a layer cannot forge the marks of overlayfs', async () => {
  const upper = at('marks');
  await mkdir(upper);
  const data = makeTar([
    directory('d', {
      pax: {
        'SCHILY.xattr.trusted.overlay.redirect': '/etc',
        'SCHILY.xattr.trusted.overlay.opaque': 'y',
        'SCHILY.xattr.user.overlay.opaque': 'y',
        'SCHILY.xattr.user.fine': '1',
      },
    }),
  ]);
  await differ.apply(
    layerOf(data),
    memoryBlob(data),
    [{ type: 'overlay', source: 'overlay', options: [`upperdir=${upper}`, `lowerdir=${at('tree')}`] }],
    never,
  );
  for (const name of ['trusted.overlay.redirect', 'trusted.overlay.opaque', 'user.overlay.opaque'])
    assert.equal(getXattr(bytesOf(path.join(upper, 'd')), name), undefined);
  assert.equal(getXattr(bytesOf(path.join(upper, 'd')), 'user.fine')?.toString(), '1');
});

test('mounts of any other kind are mounted for the while, and nothing stays', async () => {
  const root = at('two');
  await mkdir(path.join(root, 'inner'), { recursive: true });
  const data = makeTar([file('inner/file')]);
  const mounts = [
    { type: 'bind', source: root, options: ['rbind', 'rw'] },
    { type: 'tmpfs', source: 'tmpfs', target: '/inner', options: ['size=1m'] },
  ];
  await differ.apply(layerOf(data), memoryBlob(data), mounts, never);
  assert.ok(!existsSync(path.join(root, 'inner/file')), 'it went into the tmpfs, which is gone');
  assert.deepEqual(execFileSync('ls', ['-A', at('state')], { encoding: 'utf8' }), '');
  assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes(at('state')));
});

test('a full disk is resource-exhausted and names the layer and the file system', async () => {
  const root = at('small');
  await mkdir(root);
  mountAt({ type: 'tmpfs', source: 'tmpfs', options: ['size=1m'] }, root);
  try {
    const data = gzipSync(makeTar([file('large', 'x'.repeat(3_000_000))]));
    await assert.rejects(
      differ.apply(layerOf(data), memoryBlob(data), [{ type: 'bind', source: root, options: ['rw'] }], never),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'resource-exhausted');
        assert.ok(error.message.includes(digestOf(data)) && error.message.includes(`"${root}" (tmpfs`), error.message);
        assert.equal(errnoOf(error), 'ENOSPC');
        return true;
      },
    );
  } finally {
    unmountAll(root);
  }
});

test('what a killed differ left mounted and spooled is gone after its next start', async () => {
  const state = at('left');
  await mkdir(path.join(state, 'mount-abc'), { recursive: true });
  await mkdir(path.join(state, 'spool-abc'));
  await writeFile(path.join(state, 'spool-abc/layer'), 'x');
  mountAt({ type: 'tmpfs', source: 'tmpfs', options: [] }, path.join(state, 'mount-abc'));
  (await TarDiffer.start(state))[Symbol.dispose]();
  assert.equal(execFileSync('ls', ['-A', state], { encoding: 'utf8' }), '');
});
