import { setTimeout as sleep } from 'node:timers/promises';
import { NetworkError } from './errors.ts';
import type { HttpResponse } from './response.ts';

/** How often a request is sent at most, and the milliseconds between: doubled each time, with chance in it. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly firstDelay: number;
  readonly maxDelay: number;
}

export const defaultRetries: RetryPolicy = { attempts: 5, firstDelay: 250, maxDelay: 30_000 };

/** Answers that may be better next time. */
const passing = new Set([408, 429, 500, 502, 503, 504]);

/** Sends until there is an answer worth reading, or the attempts are used up: then gives the last answer or error. */
export async function withRetries(
  policy: RetryPolicy,
  send: () => Promise<HttpResponse>,
  signal: AbortSignal,
): Promise<HttpResponse> {
  for (let attempt = 1; ; attempt++) {
    let asked: number | undefined;
    try {
      const response = await send();
      if (!passing.has(response.status) || attempt >= policy.attempts) return response;
      asked = retryAfter(response.header('retry-after'));
      // A wait that long is for the caller to choose, not for us.
      if (asked !== undefined && asked > policy.maxDelay) return response;
      response.discard();
    } catch (error) {
      if (!(error instanceof NetworkError) || !error.retry || attempt >= policy.attempts) throw error;
    }
    await pause(policy, attempt, signal, asked);
  }
}

/** Waits before attempt `attempt + 1`. */
export async function pause(policy: RetryPolicy, attempt: number, signal: AbortSignal, asked = 0): Promise<void> {
  const backoff = Math.min(policy.firstDelay * 2 ** (attempt - 1), policy.maxDelay);
  const delay = Math.max(asked, backoff * (0.5 + Math.random() / 2));
  try {
    await sleep(delay, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
}

/** Milliseconds: RFC 9110 has seconds or a date. */
function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
