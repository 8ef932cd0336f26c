import { cpSync, lchownSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, type Stats } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HakoError } from '#base/errors.ts';
import { fromMessage } from '#client/containerd/image-graph.ts';
import { introspection } from '#client/containerd/introspection.ts';
import { leaseId, withLease } from '#client/containerd/lease-scope.ts';
import { chooseSnapshotter, snapshots } from '#client/containerd/snapshots.ts';
import { unpackImage } from '#client/containerd/unpack.ts';
import type { Containerd } from '#client/containerd.ts';
import { mountOn, unmountFrom } from '#client/mounting.ts';
import { command } from '../command.ts';
import { findImage } from '../image-names.ts';

export const install = command({
  usage: '[flags] <ref>',
  description:
    "Copies the programs in an image's /bin to this machine: into the daemon's directory for such packages, or to --path.",
  flags: {
    libs: { kind: 'on', short: 'l', help: 'Install libs from the image' },
    replace: { kind: 'on', short: 'r', help: 'Replace any binaries or libs in the opt directory' },
    path: { kind: 'one', help: 'Set an optional install path other than the managed opt directory' },
  },
  takes: [1, 1],
  examples: [['install --path /usr/local registry.example/cni-plugins:1', 'into /usr/local/bin']],
  async run(context, { flags, rest: [word = ''] }) {
    const { door } = context;
    const image = await findImage(context, word);
    const path = flags.path === undefined || flags.path === '' ? await managedPath(door) : flags.path;
    const snapshotter = await chooseSnapshotter(door, undefined);
    await withLease(door, async (leased) => {
      const parent = await unpackImage(leased, { target: fromMessage(image.target), snapshotter });
      await using undo = new AsyncDisposableStack();
      const key = `install-${leaseId()}`;
      const { mounts } = await snapshots(leased).view({ snapshotter, key, parent });
      undo.defer(async () => void (await snapshots(leased).remove({ snapshotter, key })));
      const root = undo.adopt(mkdtempSync(join(tmpdir(), 'hakoctl-install-')), (made) => rmdirSync(made));
      mountOn(mounts, root);
      undo.defer(() => unmountFrom(root));
      for (const folder of flags.libs ? ['bin', 'lib'] : ['bin'])
        copyFolder(join(root, folder), join(path, folder), flags.replace);
    });
  },
});

async function managedPath(door: Containerd): Promise<string> {
  const { plugins } = await introspection(door).plugins({ filters: ['id==opt'] });
  const path = plugins[0]?.exports['path'];
  if (path === undefined || path === '')
    throw new HakoError('failed-precondition', 'the daemon has no directory for packages (plugin "opt"): give --path');
  return path;
}

/** What lies in the folder itself, links as links. A folder that is a link in the image belongs to another package. */
function copyFolder(from: string, to: string, replace: boolean): void {
  if (kindOf(from)?.isDirectory() !== true) return;
  const names = readdirSync(from).filter((name) => !kindOf(join(from, name))!.isDirectory());
  for (const name of names) {
    if (!replace && kindOf(join(to, name)) !== undefined)
      throw new HakoError('already-exists', `cannot replace "${name}" in "${to}": --replace does`);
  }
  mkdirSync(to, { recursive: true });
  for (const name of names) {
    const [source, target] = [join(from, name), join(to, name)];
    cpSync(source, target, { force: true, preserveTimestamps: true, verbatimSymlinks: true });
    const { uid, gid } = lstatSync(source);
    lchownSync(target, uid, gid);
  }
}

function kindOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
