import { giveBackMemory, limitArenas } from '#sys/memory.ts';

/** How often it is looked, in milliseconds, and what growth is worth a walk through the heap, in bytes. */
const interval = 5000;
const worthwhile = 4 * 1024 * 1024;

/** Keeps the daemon as small as it was before a burst. Ends with the scope. */
export function thrift(): Disposable {
  limitArenas(2);
  let last = process.memoryUsage.rss();
  const timer = setInterval(() => {
    if (process.memoryUsage.rss() - last < worthwhile) return;
    giveBackMemory();
    last = process.memoryUsage.rss();
  }, interval);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
