import { HakoError } from '#base/errors.ts';
import { Kind, Snapshots, type Info } from '#proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts';
import type { Mount } from '#proto/gen/containerd/types/mount_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';
import { namespaces } from './namespaces.ts';

export type SnapshotInfo = Info;
export type { Mount };

export const snapshots = (door: Containerd): Client<typeof Snapshots> => door.service(Snapshots);

const kinds: Readonly<Record<number, string>> = {
  [Kind.VIEW]: 'View',
  [Kind.ACTIVE]: 'Active',
  [Kind.COMMITTED]: 'Committed',
};

/** What a snapshot is, in containerd's words. */
export const kindWord = (info: Info): string => kinds[info.kind] ?? 'Unknown';

export const isActive = (info: Info): boolean => info.kind === Kind.ACTIVE;
export const isCommitted = (info: Info): boolean => info.kind === Kind.COMMITTED;

const defaultLabel = 'containerd.io/defaults/snapshotter';
const usual = 'overlayfs';

/** The snapshotter to use: what was asked for, or the namespace's own choice, or the usual one. */
export async function chooseSnapshotter(door: Containerd, asked: string | undefined): Promise<string> {
  if (asked !== undefined && asked !== '') return asked;
  try {
    const { namespace } = await namespaces(door).get({ name: door.namespace });
    return namespace?.labels[defaultLabel] ?? usual;
  } catch (error) {
    if (error instanceof HakoError && error.code === 'not-found') return usual;
    throw error;
  }
}

/** All snapshots of a snapshotter, in the daemon's order. */
export async function listSnapshots(
  door: Containerd,
  snapshotter: string,
  filters: readonly string[] = [],
): Promise<Info[]> {
  const found: Info[] = [];
  for await (const { info } of snapshots(door).list({ snapshotter, filters: [...filters] })) found.push(...info);
  return found;
}

/** Mounts as a person types them. */
export const mountWords = (mounts: readonly Mount[]): object[] =>
  mounts.map(({ type, source, target, options }) => ({ Type: type, Source: source, Target: target, Options: options }));
