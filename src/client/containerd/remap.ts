import { createHash } from 'node:crypto';
import { chmodSync, lchownSync, lstatSync, mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf, HakoError, invalid } from '#base/errors.ts';
import { mountAll, unmountAll } from '#sys/mount.ts';
import type { Containerd } from '../containerd.ts';
import { toHost } from '../spec/id-mappings.ts';
import type { IdMapping } from '../spec/types.ts';
import { snapshots } from './snapshots.ts';

export interface Mappings {
  readonly uids: readonly IdMapping[];
  readonly gids: readonly IdMapping[];
}

/** Snapshotters that shift ids by themselves read these labels of a snapshot. */
export const uidLabel = 'containerd.io/snapshot/uidmapping';
export const gidLabel = 'containerd.io/snapshot/gidmapping';

/**
 * A committed snapshot of `parent` in which every file belongs to the host's user that a container's stands for. Made
 * once for each set of mappings, under the name that containerd's own client gives it.
 */
export async function remappedSnapshot(
  door: Containerd,
  snapshotter: string,
  parent: string,
  mappings: Mappings,
): Promise<string> {
  const api = snapshots(door);
  const name = nameOf(parent, mappings);
  const exists = await api.stat({ snapshotter, key: name }).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) !== 'not-found') throw error;
      return false;
    },
  );
  if (exists) return name;
  const key = `${name}-remap`;
  const { mounts } = await api.prepare({ snapshotter, key, parent });
  try {
    withMounted(mounts, (root) => chownAll(root, mappings));
    await api.commit({ snapshotter, name, key });
  } catch (error) {
    await api.remove({ snapshotter, key }).catch(() => {});
    if (codeOf(error) !== 'already-exists') throw error;
  }
  return name;
}

function nameOf(parent: string, { uids, gids }: Mappings): string {
  const words = (mappings: readonly IdMapping[]): object[] =>
    mappings
      .toSorted((a, b) => a.containerID - b.containerID)
      .map(({ containerID, hostID, size }) => ({ containerID, hostID, size }));
  const text = JSON.stringify({ Parent: parent, IDMap: { UidMap: words(uids), GidMap: words(gids) } });
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

function withMounted(mounts: Parameters<typeof mountAll>[0], action: (root: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'hakoctl-remap-'));
  try {
    mountAll(mounts, root);
    action(root);
  } finally {
    unmountAll(root);
    rmdirSync(root);
  }
}

const specialBits = 0o7000;

function chownAll(path: string, mappings: Mappings): void {
  const found = lstatSync(path);
  const uid = toHost(found.uid, mappings.uids);
  const gid = toHost(found.gid, mappings.gids);
  if (uid === undefined || gid === undefined)
    throw invalid(`file of user ${found.uid}, group ${found.gid}: no mapping has these ids: map more of them`);
  lchownSync(path, uid, gid);
  // A change of owner takes setuid and setgid away (chown(2)).
  if (!found.isSymbolicLink() && (found.mode & specialBits) !== 0) chmodSync(path, found.mode & 0o7777);
  if (found.isDirectory()) for (const name of readdirSync(path)) chownAll(join(path, name), mappings);
}

/** Throws where a user namespace would have no root. */
export function checkRoot({ uids, gids }: Mappings): void {
  if (toHost(0, uids) === undefined || toHost(0, gids) === undefined)
    throw new HakoError('invalid-argument', 'user namespace: --uidmap and --gidmap must each map id 0');
}
