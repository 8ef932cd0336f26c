import { spawn } from 'node:child_process';
import type { Call } from '#base/call.ts';
import { HakoError, invalid } from '#base/errors.ts';
import type { EngineObject } from './types.ts';
import type { EngineHouse } from './house.ts';
import { isAlive, resolve, standingOf } from './resolve.ts';

/** `GET /containers/{id}/top`: the host's ps(1), cut to the container's processes. */
export async function top(house: EngineHouse, call: Call, ref: string, psArgs: string): Promise<EngineObject> {
  const { id } = resolve(house, call, ref);
  if (!isAlive(standingOf(house, call, id))) throw new HakoError('conflict', `container ${id} is not running`);
  const pids = new Set((await house.tasks.pids(call, id)).map(({ pid }) => pid));
  const words = psArgs.split(/\s+/).filter((word) => word !== '');
  // Only what is surely a format: ps -f reads no file and runs nothing, but what a later one may do nobody knows.
  for (const word of words) {
    if (!/^[A-Za-z0-9_,=:%-]+$/.test(word)) throw invalid(`ps arguments "${psArgs}": "${word}" is not allowed`);
  }
  return parsePs(await runPs(words, call.signal), pids);
}

export function parsePs(output: string, pids: ReadonlySet<number>): EngineObject {
  const [head = '', ...lines] = output.split('\n').filter((line) => line.trim() !== '');
  const titles = head.trim().split(/\s+/);
  const column = titles.indexOf('PID');
  if (column < 0) throw invalid("Couldn't find PID field in ps output");
  const rows = lines.map((line) => {
    const words = line.trim().split(/\s+/);
    // The last column is the command, which has spaces of its own.
    return [...words.slice(0, titles.length - 1), words.slice(titles.length - 1).join(' ')];
  });
  return { Titles: titles, Processes: rows.filter((row) => pids.has(Number(row[column]))) };
}

const limit = 8 * 1024 * 1024;

async function runPs(words: readonly string[], signal: AbortSignal): Promise<string> {
  const { promise, resolve: done, reject } = Promise.withResolvers<string>();
  const child = spawn('ps', words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' },
  });
  let output = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (output.length > limit) child.kill('SIGKILL');
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = `${complaint}${text}`.slice(0, 1000);
  });
  child.once('error', (error: NodeJS.ErrnoException) => {
    reject(
      error.code === 'ENOENT'
        ? new HakoError('failed-precondition', 'ps is not installed on this host (Debian package procps)', error)
        : error,
    );
  });
  child.once('close', (code) => {
    if (code === 0) done(output);
    else
      reject(
        new HakoError(
          'invalid-argument',
          `error running ps: ${complaint.trim().split('\n')[0] ?? `exit code ${String(code)}`}`,
        ),
      );
  });
  return promise;
}
