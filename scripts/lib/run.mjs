// Starting programs from scripts.

import { spawn } from 'node:child_process';

/**
 * Runs a program to its end and gives `{ code, stdout, stderr }`; `inherit` shows its output instead of keeping it. A
 * program that a signal ended has the shell's code for that, one that is not there 127.
 */
export function run(command, args, { inherit = false, ...options } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: inherit ? 'inherit' : ['ignore', 'pipe', 'pipe'], ...options });
    const out = [];
    const err = [];
    child.stdout?.on('data', (chunk) => out.push(chunk));
    child.stderr?.on('data', (chunk) => err.push(chunk));
    child.once('error', (error) => resolve({ code: 127, stdout: '', stderr: String(error.message) }));
    child.once('close', (code, signal) =>
      resolve({
        code: code ?? signalCode(signal),
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
      }),
    );
  });
}

const signalCode = (signal) => ({ SIGHUP: 129, SIGINT: 130, SIGKILL: 137, SIGTERM: 143 })[signal] ?? 128;

/** The last lines of a text, for an error message. */
export const tail = (text, lines = 8) => text.trimEnd().split('\n').slice(-lines).join('\n');
