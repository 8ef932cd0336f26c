import type { RegistryOptions } from '#core/registry.ts';
import { RegistryObjects as RegistryApi, type Access } from '#proto/gen/hakobune/services/registry/v1/registry_pb.ts';
import type { RegistryObjects } from '#services/registry-objects.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { toDescriptor } from './convert.ts';

/** A service of our own: single objects of registries. */
export const registryService = (objects: RegistryObjects): GrpcService =>
  grpcService(RegistryApi, {
    resolve: async ({ reference, access }, call) => ({
      target: toDescriptor(await objects.resolve(callOf(call), reference, toOptions(access))),
    }),
    fetch: async function* ({ reference, digest, mediaType, access }, call) {
      const { target, data } = await objects.fetch(callOf(call), reference, { digest, mediaType }, toOptions(access));
      yield { target: toDescriptor(target) };
      for await (const piece of data) yield { data: piece };
    },
    push: async ({ reference, digest, mediaType, access }, call) => ({
      existed: await objects.push(callOf(call), reference, { digest, mediaType }, toOptions(access)),
    }),
  });

/** Nothing said is nothing set: the daemon's own configuration then counts. */
function toOptions(access: Access | undefined): RegistryOptions {
  const { username = '', secret = '', hostsDir = '', plainHttp = false, skipVerify = false } = access ?? {};
  const token = username === '' && secret !== '';
  return {
    ...(username === '' && secret === ''
      ? {}
      : { credentials: token ? { username, password: '', identityToken: secret } : { username, password: secret } }),
    ...(hostsDir === '' ? {} : { hostsDir }),
    ...(plainHttp ? { plainHttp } : {}),
    ...(skipVerify ? { skipVerify } : {}),
  };
}
