import { callersFault, HakoError } from '#base/errors.ts';
import { Health, HealthCheckResponse_ServingStatus } from '#proto/gen/grpc/health/v1/health_pb.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';

const { SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

/** Says that the daemon serves, which it does if this is answered at all. Like containerd it knows no part by name. */
export const healthService = (): GrpcService =>
  grpcService(Health, {
    check: ({ service }) => {
      if (service !== '') throw new HakoError('not-found', 'unknown service', callersFault);
      return { status: SERVING };
    },
    list: () => ({ statuses: { '': { status: SERVING } } }),
    watch: async function* ({ service }, call) {
      yield { status: service === '' ? SERVING : SERVICE_UNKNOWN };
      // It will not change before the daemon ends.
      call.lasts();
      const { promise, resolve } = Promise.withResolvers<void>();
      call.signal.addEventListener('abort', () => resolve(), { once: true });
      if (!call.signal.aborted) await promise;
    },
  });
