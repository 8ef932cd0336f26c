import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { silent } from '#base/log.ts';
import type { SnapshotDriver } from '#core/snapshots.ts';
import { snapshotDriverSuite, type SnapshotDriverUnderTest } from '#core/suites/snapshot-driver.ts';
import { mountAll, unmountAll } from '#sys/mount.ts';
import { NativeDriver } from './native.ts';

const never = new AbortController().signal;

async function open(root: string): Promise<SnapshotDriver> {
  return NativeDriver.start(root, silent, never);
}

async function house(): Promise<SnapshotDriverUnderTest> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'hako-native-'));
  return {
    driver: await open(root),
    restart: () => open(root),
    mount: mountAll,
    unmount: unmountAll,
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

snapshotDriverSuite('NativeDriver', house);
