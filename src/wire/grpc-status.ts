import { codeOf, HakoError, messageOf, type ErrorCode } from '#base/errors.ts';

/** The status numbers of gRPC (grpc/grpc doc/statuscodes.md). */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

/** What each of our codes is on the wire. gRPC has no word for Docker's two, which are states that forbid the call. */
const statusByCode = {
  cancelled: grpcStatus.cancelled,
  unknown: grpcStatus.unknown,
  'invalid-argument': grpcStatus.invalidArgument,
  'deadline-exceeded': grpcStatus.deadlineExceeded,
  'not-found': grpcStatus.notFound,
  'already-exists': grpcStatus.alreadyExists,
  'permission-denied': grpcStatus.permissionDenied,
  'resource-exhausted': grpcStatus.resourceExhausted,
  'failed-precondition': grpcStatus.failedPrecondition,
  aborted: grpcStatus.aborted,
  'out-of-range': grpcStatus.outOfRange,
  unimplemented: grpcStatus.unimplemented,
  internal: grpcStatus.internal,
  unavailable: grpcStatus.unavailable,
  'data-loss': grpcStatus.dataLoss,
  unauthenticated: grpcStatus.unauthenticated,
  conflict: grpcStatus.failedPrecondition,
  'not-modified': grpcStatus.failedPrecondition,
} as const satisfies Record<ErrorCode, number>;

const codeByStatus: ReadonlyMap<number, ErrorCode> = new Map(
  // Backwards, so that 9 reads as failed-precondition and not as one of Docker's two.
  (Object.entries(statusByCode) as [ErrorCode, number][]).reverse().map(([code, status]) => [status, code]),
);

/** The gRPC status of any thrown value. */
export const grpcStatusOf = (error: unknown): number => statusByCode[codeOf(error)];

/** The error that a status received from a server stands for. */
export function errorOfStatus(status: number, message: string): HakoError {
  return new HakoError(
    codeByStatus.get(status) ?? 'unknown',
    message === '' ? `the server answered status ${status}` : message,
  );
}

/** Longest message that is sent, in characters: it travels in a header, whose block is limited. */
const longestMessage = 8192;

/** `grpc-message` of any thrown value, percent-encoded as PROTOCOL-HTTP2.md of gRPC has it. */
export function grpcMessageOf(error: unknown): string {
  return encodeGrpcMessage(messageOf(error));
}

/** Encodes everything but printable ASCII, and the percent sign. */
export function encodeGrpcMessage(message: string): string {
  const short = message.length > longestMessage ? `${message.slice(0, longestMessage)}…` : message;
  if (/^[ -$&-~]*$/.test(short)) return short;
  let encoded = '';
  for (const byte of Buffer.from(short)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** Decodes what it can; a broken escape stays as it came, as gRPC asks of clients. */
export function decodeGrpcMessage(encoded: string): string {
  if (!encoded.includes('%')) return encoded;
  const bytes: number[] = [];
  for (let at = 0; at < encoded.length; at++) {
    const hex = encoded[at] === '%' ? encoded.slice(at + 1, at + 3) : '';
    if (/^[0-9a-fA-F]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      at += 2;
    } else {
      bytes.push(encoded.charCodeAt(at) & 0xff);
    }
  }
  return Buffer.from(bytes).toString('utf8');
}

const timeoutUnits: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds of a `grpc-timeout` header (at most eight digits and a unit). invalid-argument when it is not one. */
export function parseGrpcTimeout(value: string): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(value);
  if (match === null)
    throw new HakoError(
      'invalid-argument',
      `grpc-timeout "${value}" is not up to 8 digits and one of H, M, S, m, u, n`,
    );
  return Number(match[1]) * (timeoutUnits[match[2] as string] as number);
}

/** A `grpc-timeout` header for so many milliseconds, rounded up to the finest unit that fits eight digits. */
export function formatGrpcTimeout(milliseconds: number): string {
  const whole = Math.max(1, Math.ceil(milliseconds));
  return whole < 1e8 ? `${whole}m` : `${Math.min(99_999_999, Math.ceil(whole / 1000))}S`;
}
