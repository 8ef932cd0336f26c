import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { giveBackMemory, limitArenas } from '#sys/memory.ts';

/** How often it is looked, in milliseconds. */
const interval = 3000;
const megabyte = 1024 * 1024;
/** Growth that is worth a walk through the heaps, which stops the daemon for some hundredths of a second. */
const worthwhile = 8 * megabyte;

/** Keeps the daemon as small as it was before a burst: when one is over, what it needed is given back. Ends with the scope. */
export function thrift(): Disposable {
  limitArenas(2);
  // V8 sweeps a heap that nobody allocates from only when it is told to.
  setFlagsFromString('--expose-gc');
  const sweep = runInNewContext('gc') as () => void;
  let small = process.memoryUsage.rss();
  let before = small;
  const timer = setInterval(() => {
    const size = process.memoryUsage.rss();
    const quiet = Math.abs(size - before) < megabyte;
    before = size;
    if (!quiet || size - small < worthwhile) return;
    sweep();
    giveBackMemory();
    small = process.memoryUsage.rss();
    before = small;
  }, interval);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
