import { notFound } from '#base/errors.ts';
import { Health, HealthCheckResponse_ServingStatus } from '#proto/gen/grpc/health/v1/health_pb.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';

/** Says that the daemon serves, which it does if this is answered at all. `names` are the services it has. */
export function healthService(names: ReadonlySet<string>): GrpcService {
  const known = (service: string): boolean => service === '' || names.has(service);
  return grpcService(Health, {
    check: ({ service }) => {
      if (!known(service)) throw notFound('service', service);
      return { status: HealthCheckResponse_ServingStatus.SERVING };
    },
    watch: async function* ({ service }, call) {
      const { SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;
      yield { status: known(service) ? SERVING : SERVICE_UNKNOWN };
      // It will not change before the daemon ends.
      call.lasts();
      const { promise, resolve } = Promise.withResolvers<void>();
      call.signal.addEventListener('abort', () => resolve(), { once: true });
      if (!call.signal.aborted) await promise;
    },
  });
}
