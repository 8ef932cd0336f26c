import { codeOf, messageOf, type ErrorCode } from '#base/errors.ts';

/** HTTP statuses as moby's `httpstatus` gives them. A new code does not compile until it has an answer here. */
const statuses = {
  cancelled: 500,
  unknown: 500,
  'invalid-argument': 400,
  'deadline-exceeded': 500,
  'not-found': 404,
  'already-exists': 409,
  'permission-denied': 403,
  'resource-exhausted': 500,
  'failed-precondition': 400,
  aborted: 500,
  'out-of-range': 400,
  unimplemented: 501,
  internal: 500,
  unavailable: 503,
  'data-loss': 500,
  unauthenticated: 401,
  conflict: 409,
  'not-modified': 304,
} as const satisfies Record<ErrorCode, number>;

export interface HttpError {
  readonly status: number;
  readonly message: string;
}

export const httpError = (error: unknown): HttpError => ({
  status: statuses[codeOf(error)],
  message: messageOf(error),
});
