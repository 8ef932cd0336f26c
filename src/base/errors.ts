/** What went wrong, in the words of containerd's errdefs plus Docker's two. Doors turn codes into gRPC and HTTP. */
export const errorCodes = [
  'cancelled',
  'unknown',
  'invalid-argument',
  'deadline-exceeded',
  'not-found',
  'already-exists',
  'permission-denied',
  'resource-exhausted',
  'failed-precondition',
  'aborted',
  'out-of-range',
  'unimplemented',
  'internal',
  'unavailable',
  'data-loss',
  'unauthenticated',
  'conflict',
  'not-modified',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/**
 * The one error class of the project. The message is lower case, has no period, names the thing in quotes, says what
 * was wrong and, where we know it, what to do.
 */
export class HakoError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'HakoError';
    this.code = code;
  }
}

/** As the cause of an error: the caller broke a rule, so that its code (such as `internal`) says nothing about us. */
export const callersFault = Symbol("the caller's fault");

/** A caller's mistake for which containerd has no code: its clients get `unknown`, and so do ours. */
export const codeless = (message: string): HakoError => new HakoError('unknown', message, callersFault);

export const notFound = (kind: string, id: string): HakoError =>
  new HakoError('not-found', `${kind} ${JSON.stringify(id)}: not found`);
export const alreadyExists = (kind: string, id: string): HakoError =>
  new HakoError('already-exists', `${kind} ${JSON.stringify(id)}: already exists`);
export const invalid = (message: string, cause?: unknown): HakoError =>
  new HakoError('invalid-argument', message, cause);
export const unimplemented = (what: string): HakoError => new HakoError('unimplemented', `${what} is not implemented`);

/**
 * The code of any thrown value. When cleaning up fails too, JavaScript throws a SuppressedError without our code: the
 * first error is inside it, so look there. An abort is `cancelled`, a time-out `deadline-exceeded`.
 */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof HakoError) return error.code;
  if (error instanceof SuppressedError) return codeOf(error.suppressed);
  if (error instanceof Error) {
    if (error.name === 'AbortError') return 'cancelled';
    if (error.name === 'TimeoutError') return 'deadline-exceeded';
    if (error.cause !== undefined) return codeOf(error.cause);
  }
  return 'unknown';
}

/** The message of any thrown value, fit for a client: never a stack. */
export function messageOf(error: unknown): string {
  if (error instanceof SuppressedError) return messageOf(error.suppressed);
  return error instanceof Error ? error.message : String(error);
}
