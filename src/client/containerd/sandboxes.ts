import { Controller, Store } from '#proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts';
import type { Sandbox } from '#proto/gen/containerd/types/sandbox_pb.ts';
import { codeOf, notFound } from '#base/errors.ts';
import type { Containerd } from '../containerd.ts';
import { packSpec, parseSpec } from '../spec/spec-json.ts';

export type { Sandbox };

export interface SandboxRequest {
  readonly id: string;
  readonly runtime: string;
  /** Who is to run it. */
  readonly sandboxer: string;
  /** A runtime spec as JSON, and what it is called in an error. */
  readonly config: string;
  readonly what: string;
}

/** The type of options that are none. */
const noOptions = 'google.protobuf.Empty';

/** Writes a sandbox into the store and starts it. When it does not start, the store is as before. */
export async function runSandbox(door: Containerd, request: SandboxRequest): Promise<void> {
  const { id: sandboxId, runtime: name, sandboxer, config, what } = request;
  const store = door.service(Store);
  const now = { seconds: BigInt(Math.floor(Date.now() / 1000)), nanos: (Date.now() % 1000) * 1_000_000 };
  const { sandbox } = await store.create({
    sandbox: {
      sandboxId,
      runtime: { name, options: { typeUrl: noOptions, value: new Uint8Array() } },
      spec: packSpec(parseSpec(config, what)),
      sandboxer,
      createdAt: now,
      updatedAt: now,
    },
  });
  const controller = door.service(Controller);
  try {
    await controller
      .create({ sandboxId, sandboxer, ...(sandbox === undefined ? {} : { sandbox }) })
      .catch(ignoreCreated);
    await controller.start({ sandboxId, sandboxer });
  } catch (error) {
    await controller.shutdown({ sandboxId, sandboxer }).catch(() => {});
    await store.delete({ sandboxId }).catch(() => {});
    throw error;
  }
}

/** A controller that makes its sandboxes when they are started has nothing to make before. */
function ignoreCreated(error: unknown): void {
  if (codeOf(error) !== 'unimplemented') throw error;
}

export async function listSandboxes(door: Containerd, filters: readonly string[]): Promise<Sandbox[]> {
  return (await door.service(Store).list({ filters: [...filters] })).list;
}

export async function getSandbox(door: Containerd, sandboxId: string): Promise<Sandbox> {
  const { sandbox } = await door.service(Store).get({ sandboxId });
  if (sandbox === undefined) throw notFound('sandbox', sandboxId);
  return sandbox;
}

/** Stops a sandbox and removes it; with `force` also one that cannot be stopped. */
export async function removeSandbox(door: Containerd, sandboxId: string, force: boolean): Promise<void> {
  const { sandboxer } = await getSandbox(door, sandboxId);
  const controller = door.service(Controller);
  const unlessGone = (error: unknown): void => {
    if (!force && codeOf(error) !== 'not-found') throw error;
  };
  // What has no sandboxer, as `ctr` makes them, was never run.
  if (sandboxer !== '') {
    await controller.stop({ sandboxId, sandboxer }).catch(unlessGone);
    await controller.shutdown({ sandboxId, sandboxer }).catch(unlessGone);
  }
  await door
    .service(Store)
    .delete({ sandboxId })
    .catch((error: unknown) => {
      if (codeOf(error) !== 'not-found') throw error;
    });
}
