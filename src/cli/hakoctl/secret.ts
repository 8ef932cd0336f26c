import { spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { isatty } from 'node:tty';
import { print } from '../output.ts';

/** Asks a person for something that must not be seen; from a pipe it is just the first line. */
export async function readSecret(prompt: string): Promise<string> {
  const terminal = isatty(0);
  const stty = (mode: string): void => void spawnSync('stty', [mode], { stdio: ['inherit', 'ignore', 'ignore'] });
  print(2, prompt);
  if (terminal) stty('-echo');
  const lines = createInterface({ input: process.stdin, terminal: false });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
    if (terminal) {
      stty('echo');
      print(2, '\n');
    }
  }
}
