import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';

/**
 * A shell that stays, so that every side pays the same small price for starting its program, wherever it runs: in
 * namespaces of its own, say.
 */
export class Shell {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #gone: Promise<void>;
  #answers = '';
  #errors = '';
  #wake: () => void = () => undefined;

  constructor(command: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    const [program, ...args] = command;
    this.#child = spawn(program!, args, { stdio: 'pipe', env });
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#answers += chunk.toString();
      this.#wake();
    });
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#errors = (this.#errors + chunk.toString()).slice(-4096);
    });
    this.#child.stdin.on('error', () => undefined);
    this.#gone = new Promise((resolve) => {
      this.#child.once('error', () => resolve());
      this.#child.once('close', () => resolve());
    });
  }

  /** Runs a line and gives its time in milliseconds. Throws when it ends with anything but 0. */
  async time(line: string): Promise<number> {
    this.#answers = '';
    this.#errors = '';
    const began = performance.now();
    this.#child.stdin.write(`${line} >/dev/null </dev/null; echo "=$?"\n`);
    let gone = false;
    while (!/=\d+\n/.test(this.#answers) && !gone) {
      const answer = new Promise<false>((resolve) => (this.#wake = () => resolve(false)));
      gone = await Promise.race([answer, this.#gone.then(() => true)]);
    }
    const time = performance.now() - began;
    const code = /=(\d+)\n/.exec(this.#answers)?.[1];
    if (code !== '0') throw new Error(`"${line}" ended with ${code ?? 'its shell'}: ${this.#errors.trim()}`);
    return time;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#gone;
  }
}

/** A word as the shell takes it. */
export const quote = (word: string): string =>
  /^[\w./:@=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
