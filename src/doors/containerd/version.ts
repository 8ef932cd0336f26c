import { Version as VersionApi } from '#proto/gen/containerd/services/version/v1/version_pb.ts';
import type { Introspection } from '#services/introspection.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';

export const versionService = (introspection: Introspection): GrpcService =>
  grpcService(VersionApi, { version: () => ({ ...introspection.version() }) });
