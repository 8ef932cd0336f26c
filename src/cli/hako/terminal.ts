import { spawnSync } from 'node:child_process';
import { isatty } from 'node:tty';
import { Failure } from '../failure.ts';

/** Docker's refusal: a terminal inside needs one outside as soon as someone types. */
export function checkTerminal(stdin: boolean, tty: boolean): void {
  if (stdin && tty && !isatty(0)) throw new Failure(1, 'the input device is not a TTY');
}

/** Hands every key to the container, until it is disposed. Whatever ends the program first puts the terminal back. */
export class RawTerminal implements Disposable {
  readonly #restore = (): void => {
    if (process.stdin.isRaw) process.stdin.setRawMode(false);
  };

  constructor() {
    process.stdin.setRawMode(true);
    process.once('exit', this.#restore);
    // Node leaves the output's newline translation on, which garbles what full-screen programs draw; stty can take it away.
    // What setRawMode(false) restores is the state from before both.
    spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
  }

  [Symbol.dispose](): void {
    this.#restore();
    process.off('exit', this.#restore);
  }
}

export interface Size {
  readonly w: number;
  readonly h: number;
}

/** The size of the terminal that we write to; undefined when it is none. */
export function terminalSize(): Size | undefined {
  if (!isatty(1)) return undefined;
  const { columns, rows } = process.stdout;
  return columns > 0 && rows > 0 ? { w: columns, h: rows } : undefined;
}

const retries = 10;

/** Keeps the container's terminal as large as ours. The first attempts may come before the process is there. */
export function followSize(resize: (size: Size) => Promise<void>): Disposable {
  const tell = async (): Promise<boolean> => {
    const size = terminalSize();
    if (size === undefined) return true;
    return resize(size).then(
      () => true,
      () => false,
    );
  };
  const begin = async (): Promise<void> => {
    for (let attempt = 1; attempt <= retries && !(await tell()); attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, attempt * 10).unref());
    }
  };
  const onChange = (): void => void tell();
  if (isatty(1)) process.stdout.on('resize', onChange);
  void begin();
  return { [Symbol.dispose]: () => void (isatty(1) && process.stdout.off('resize', onChange)) };
}
