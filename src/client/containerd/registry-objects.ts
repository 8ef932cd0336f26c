import { createHash } from 'node:crypto';
import { HakoError } from '#base/errors.ts';
import { RegistryObjects } from '#proto/gen/hakobune/services/registry/v1/registry_pb.ts';
import type { Client } from '#wire/grpc-client.ts';
import type { Containerd } from '../containerd.ts';

export const registryObjects = (door: Containerd): Client<typeof RegistryObjects> => door.service(RegistryObjects);

export interface ObjectAccess {
  readonly username: string;
  readonly secret: string;
  readonly hostsDir: string;
  readonly plainHttp: boolean;
  readonly skipVerify: boolean;
}

export interface ObjectRequest {
  readonly reference: string;
  /** Empty: what the reference points at. */
  readonly digest: string;
  readonly mediaType: string;
  readonly access: ObjectAccess;
}

/** The bytes of an object at a registry. data-loss at the end when they are not those of the digest. */
export async function* fetchObject(door: Containerd, request: ObjectRequest): AsyncGenerator<Uint8Array> {
  let digest = request.digest;
  let hash = createHash('sha256');
  for await (const { target, data } of registryObjects(door).fetch(request)) {
    if (target !== undefined) {
      digest = target.digest;
      hash = createHash(digest.split(':')[0] ?? 'sha256');
    }
    if (data.length === 0) continue;
    hash.update(data);
    yield data;
  }
  const found = `${digest.split(':')[0]}:${hash.digest('hex')}`;
  if (found !== digest)
    throw new HakoError('data-loss', `registry object "${digest}": what the registry sent is ${found}`);
}
