/** Mount points below a directory, deepest first. */
export function mountsBelow(dir: string): string[];
/** Processes that belong to a directory. */
export function processesOf(dir: string): { pid: number; command: string }[];
/** Everything that a directory has left in the kernel, as lines to read. */
export function tracesOf(dir: string): string[];
/** Waits until nothing is left, for a while; gives what is left then. */
export function tracesAfter(dir: string, milliseconds: number): Promise<string[]>;
/** Ends every process of a directory, unmounts what is mounted in it, and removes it. */
export function sweep(dir: string): Promise<void>;
