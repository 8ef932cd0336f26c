import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { house } from '../../scripts/lib/house.mjs';
import type { PrivateDaemon } from '../../scripts/lib/daemon.mjs';
import { which } from './machine.ts';

/** How a program ended, and all that it wrote. A signal's code is the shell's: 128 and its number. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface GuestOptions {
  /** Written to its standard input, which then ends; without it there is none. */
  readonly input?: string;
  /** Keeps standard input open, for the test to write to `child.stdin`. */
  readonly keepInput?: boolean;
  /** Standard output goes into this file instead of being kept. */
  readonly outputFile?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which it is killed, so that a hanging test says where it hangs. */
  readonly timeout?: number;
}

/** A program that is still running. */
export interface Running {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
  /** What it has written so far, both streams in the order they came. */
  readonly written: () => string;
  /** Resolves when the text has been written; rejects with all that was when it ends without. */
  says(text: string | RegExp): Promise<void>;
}

/** The unmodified clients, talking to one private daemon. */
export class Guests {
  readonly #daemon: Pick<PrivateDaemon, 'address' | 'dockerAddress' | 'dir'>;

  constructor(daemon: Pick<PrivateDaemon, 'address' | 'dockerAddress' | 'dir'>) {
    this.#daemon = daemon;
  }

  ctr(args: readonly string[], options?: GuestOptions): Promise<Outcome> {
    return this.start('ctr', args, options).outcome;
  }

  docker(args: readonly string[], options?: GuestOptions): Promise<Outcome> {
    return this.start('docker', args, options).outcome;
  }

  hako(args: readonly string[], options?: GuestOptions): Promise<Outcome> {
    return this.start('hako', args, options).outcome;
  }

  hakoctl(args: readonly string[], options?: GuestOptions): Promise<Outcome> {
    return this.start('hakoctl', args, options).outcome;
  }

  /** Starts a guest and lets it run. */
  start(guest: Guest, args: readonly string[], options?: GuestOptions): Running {
    const { command, env } = this.#command(guest);
    return begin([...command, ...args], { ...options, env: { ...env, ...options?.env } });
  }

  /** Starts a guest under a terminal of its own, of 80 columns and 24 lines; what is written to `child.stdin` is typed. */
  inTerminal(guest: Guest, args: readonly string[], options?: GuestOptions): Running {
    const { command, env } = this.#command(guest);
    const line = `stty cols 80 rows 24; exec ${[...command, ...args].map(quote).join(' ')}`;
    // script(1) gives its child a terminal, and passes on its exit code with -e.
    return begin(['script', '-qefc', line, '/dev/null'], {
      ...options,
      keepInput: true,
      env: { ...env, ...options?.env, SHELL: '/bin/sh' },
    });
  }

  #command(guest: Guest): { command: string[]; env: Record<string, string> } {
    const { address, dockerAddress, dir } = this.#daemon;
    const host = `unix://${dockerAddress}`;
    switch (guest) {
      case 'ctr':
        return { command: [which('ctr') ?? 'ctr', '--address', address], env: { CONTAINERD_NAMESPACE: '' } };
      case 'docker':
        // A configuration of its own, or the host user's contexts and credentials would speak along.
        return {
          command: [which('docker') ?? 'docker', '--config', join(dir, 'docker-config'), '-H', host],
          env: { DOCKER_HOST: '' },
        };
      case 'hako':
        return { command: [join(house, 'bin/hako')], env: { HAKO_HOST: host } };
      case 'hakoctl':
        return { command: [join(house, 'bin/hakoctl')], env: { CONTAINERD_ADDRESS: address } };
    }
  }
}

export type Guest = 'ctr' | 'docker' | 'hako' | 'hakoctl';

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

function begin([program, ...args]: string[], options: GuestOptions): Running {
  const env: NodeJS.ProcessEnv = { ...process.env, ...options.env };
  // An empty value says: not there at all.
  for (const [key, value] of Object.entries(env)) if (value === '') delete env[key];
  const withInput = options.keepInput === true || options.input !== undefined;
  const file = options.outputFile === undefined ? undefined : openSync(options.outputFile, 'w');
  const stdio = [withInput ? 'pipe' : 'ignore', file ?? 'pipe', 'pipe'] as const;
  const child = spawn(program!, args, { stdio: [...stdio], env });
  if (file !== undefined) closeSync(file);
  // A program that ends before it has read everything is no failure of the test.
  child.stdin?.on('error', () => undefined);
  if (options.input !== undefined) child.stdin?.end(options.input);
  const kill = setTimeout(() => child.kill('SIGKILL'), options.timeout ?? 60_000);
  let [stdout, stderr, written] = ['', '', ''];
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    written += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    written += chunk.toString();
  });
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(kill);
      resolve({ code: code ?? 128 + constants.signals[signal ?? 'SIGKILL'], stdout, stderr });
    });
  });
  const says = async (text: string | RegExp): Promise<void> => {
    const found = (): boolean => (typeof text === 'string' ? written.includes(text) : text.test(written));
    for (let ended = false; !found();) {
      if (ended) throw new Error(`"${program} ${args.join(' ')}" ended without saying ${String(text)}:\n${written}`);
      ended = await Promise.race([
        outcome.then(() => true),
        new Promise<false>((resolve) => setTimeout(resolve, 10, false)),
      ]);
    }
  };
  return { child, outcome, written: () => written, says };
}
