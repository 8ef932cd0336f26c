import type { IncomingHttpHeaders } from 'node:http2';
import { grpcStatus, parseGrpcTimeout } from './grpc-status.ts';
import { compression } from './grpc-gzip.ts';

/** What the headers of a call say, once they are found good. */
export interface Head {
  readonly kind: 'call';
  readonly service: string;
  readonly method: string;
  /** To be answered in kind. */
  readonly contentType: string;
  /** Milliseconds; undefined without a deadline. */
  readonly timeout: number | undefined;
  /** Whether messages may come compressed; then answers are. */
  readonly compressed: boolean;
}

/** Why a call is not taken: all that is sent is these headers. The codes and words are those of Go's gRPC. */
export interface Refusal {
  readonly kind: 'refusal';
  readonly httpStatus: number;
  readonly status: number;
  readonly message: string;
}

/** Reads the headers of a request as gRPC's Go servers do. */
export function readHead(headers: IncomingHttpHeaders): Head | Refusal {
  const given = headers['content-type'] ?? '';
  const type = /^application\/grpc(?:[+;](.*))?$/.exec(given);
  if (type === null)
    return refusal(415, grpcStatus.invalidArgument, `invalid gRPC request content-type ${quoted(given)}`);
  const timeout = timeoutOf(headers['grpc-timeout'] as string | undefined);
  if (typeof timeout === 'string') return refusal(400, grpcStatus.internal, `malformed grpc-timeout: ${timeout}`);
  const broken = brokenMetadata(headers);
  if (broken !== undefined) return refusal(400, grpcStatus.internal, broken);
  const verb = headers[':method'] ?? '';
  if (verb !== 'POST') {
    const message = `Received a HEADERS frame with :method ${quoted(verb)} which should be POST`;
    return refusal(405, grpcStatus.internal, message);
  }
  const path = headers[':path'] ?? '';
  const at = path.lastIndexOf('/');
  if (at < 1) return refusal(200, grpcStatus.unimplemented, `malformed method name: ${quoted(path)}`);
  const encoding = (headers['grpc-encoding'] as string | undefined) ?? '';
  const subtype = type[1] ?? '';
  return {
    kind: 'call',
    service: path.slice(1, at),
    method: path.slice(at + 1),
    contentType: subtype === '' ? 'application/grpc' : `application/grpc+${subtype.toLowerCase()}`,
    timeout,
    compressed: encoding === compression,
  };
}

/** What a service that is there, and a method, say to an encoding that nobody knows. */
export function refusedEncoding(headers: IncomingHttpHeaders): Refusal | undefined {
  const encoding = (headers['grpc-encoding'] as string | undefined) ?? '';
  if (encoding === '' || encoding === 'identity' || encoding === compression) return undefined;
  const message = `grpc: Decompressor is not installed for grpc-encoding ${quoted(encoding)}`;
  return refusal(200, grpcStatus.unimplemented, message);
}

export const refusal = (httpStatus: number, status: number, message: string): Refusal => ({
  kind: 'refusal',
  httpStatus,
  status,
  message,
});

/** Milliseconds, or what is wrong with the header. */
function timeoutOf(value: string | undefined): number | undefined | string {
  if (value === undefined) return undefined;
  if (value.length < 2) return `transport: timeout string is too short: ${quoted(value)}`;
  if (value.length > 9) return `transport: timeout string is too long: ${quoted(value)}`;
  if (!/[HMSmun]$/.test(value)) return `transport: timeout unit is not recognized: ${quoted(value)}`;
  const digits = value.slice(0, -1);
  if (!/^\d+$/.test(digits)) return `strconv.ParseUint: parsing ${quoted(digits)}: invalid syntax`;
  return parseGrpcTimeout(value);
}

/** Names that end so bring bytes in base64, with padding or without. */
function brokenMetadata(headers: IncomingHttpHeaders): string | undefined {
  for (const [name, value] of Object.entries(headers)) {
    if (!name.endsWith('-bin') || typeof value !== 'string') continue;
    // Node joins what came several times.
    for (const one of value.split(', ')) {
      const body = one.replace(/={1,2}$/, '');
      const wrong = body.search(/[^A-Za-z0-9+/]/);
      const at = wrong >= 0 ? wrong : body.length % 4 === 1 ? body.length - 1 : -1;
      if (at < 0) continue;
      return `malformed binary metadata ${quoted(one)} in header ${quoted(name)}: illegal base64 data at input byte ${at}`;
    }
  }
  return undefined;
}

const quoted = (text: string): string => JSON.stringify(text);
