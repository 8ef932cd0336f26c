import { libc } from './libc.ts';

const exit = libc('void _exit(int status)');

/**
 * Ends the process here and now. `process.exit` first joins V8's worker threads, and under load those have been seen to wait for a
 * garbage collection that the main thread no longer takes part in: the process then never ends. Nothing is flushed.
 */
export function exitNow(code: number): void {
  exit(code);
}
