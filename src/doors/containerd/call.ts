import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { checkIdentifier } from '#base/identifiers.ts';
import type { GrpcCall } from '#wire/grpc-service.ts';

/** A call in the namespace, and under the lease, that its headers name. Refuses as containerd does. */
export function callOf(call: GrpcCall): Call {
  const namespace = header(call, 'containerd-namespace');
  if (namespace === '') throw new HakoError('failed-precondition', 'namespace is required: failed precondition');
  checkIdentifier(namespace, 'namespace validation');
  const lease = header(call, 'containerd-lease');
  return { namespace, signal: call.signal, ...(lease === '' ? {} : { lease }) };
}

/** The first of several, as containerd takes it: a client that sets a namespace within another one sends both. Node joins them. */
function header(call: GrpcCall, name: string): string {
  const value = call.headers[name];
  const first = Array.isArray(value) ? value[0] : value;
  return first?.split(',', 1)[0]?.trim() ?? '';
}
