import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Blob } from '#core/content.ts';
import type { ApplyOptions, Differ } from '#core/differs.ts';
import { unimplemented } from '#base/errors.ts';
import type { Descriptor } from '#core/images.ts';
import type { Mount } from '#core/mounts.ts';
import { RegistryClient } from '#drivers/registry/registry.ts';
import { Diffs } from '#services/diffs.ts';
import { Pulls } from '#services/pull.ts';
import { Pushes } from '#services/push.ts';
import { openBridge, type Bridge } from './bridge.ts';

/** Unpacks a layer into one file, its tar: as much of a differ as the services can see. */
export class TarDiffer implements Differ {
  readonly applied: string[] = [];
  /** Awaited before each layer, so that a test can stop or break it there. */
  gate: (layer: Descriptor) => Promise<void> = async () => {};

  async apply(
    layer: Descriptor,
    blob: Blob,
    mounts: readonly Mount[],
    signal: AbortSignal,
    { progress }: ApplyOptions = {},
  ): Promise<Descriptor> {
    this.applied.push(layer.digest);
    await this.gate(layer);
    const tar = gunzipSync(await blob.read(0, blob.size, signal));
    progress?.(blob.size);
    await writeFile(join(mounts[0]?.source ?? '', 'layer.tar'), tar);
    const digest = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
    return { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: tar.length };
  }

  async diff(): Promise<never> {
    throw unimplemented('making layers in this test');
  }
}

/** Pulls and pushes over real blobs, a real ledger and a real registry client that reads no file of this machine. */
export interface Harbour extends AsyncDisposable {
  readonly bridge: Bridge;
  readonly differ: TarDiffer;
  readonly registry: RegistryClient;
  readonly pulls: Pulls;
  readonly pushes: Pushes;
  /** How often what was unpacked was synced. */
  readonly syncs: () => number;
}

export async function openHarbour(): Promise<Harbour> {
  const bridge = await openBridge();
  const dir = await mkdtemp(join(tmpdir(), 'hako-harbour-'));
  const registry = new RegistryClient({
    configDirs: [dir],
    dockerConfig: join(dir, 'config.json'),
    retries: { attempts: 3, firstDelay: 5, maxDelay: 200 },
  });
  const differ = new TarDiffer();
  let syncs = 0;
  const sync = async (): Promise<void> => void syncs++;
  const { content, snapshots, leases, images } = bridge;
  const pulls = new Pulls({
    registry,
    content,
    snapshots,
    leases,
    images,
    diffs: new Diffs({ content, differs: [differ] }),
    drivers: new Map([['overlayfs', { sync }]]),
    defaultSnapshotter: 'overlayfs',
  });
  return {
    bridge,
    differ,
    registry,
    pulls,
    pushes: new Pushes({ registry, content, images }),
    syncs: () => syncs,
    [Symbol.asyncDispose]: async () => {
      registry[Symbol.dispose]();
      await bridge[Symbol.asyncDispose]();
      await rm(dir, { recursive: true });
    },
  };
}
