import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from '../support/guests.ts';

/** One of the two daemons, and how a shell speaks to it. */
export interface SideParts {
  readonly name: 'theirs' | 'ours';
  /** Everything of this side lies below it. */
  readonly dir: string;
  readonly address: string;
  /** The path of the real ctr. */
  readonly ctr: string;
  /** A shell that sees the daemon's files. */
  readonly shell: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What this side calls what the other calls otherwise, and the name that both get. */
  readonly names: readonly (readonly [string, string])[];
}

const patience = 30_000;

/** Runs command lines against one daemon. */
export class Side {
  readonly parts: SideParts;
  readonly #bin: string;

  constructor(parts: SideParts) {
    this.parts = parts;
    this.#bin = join(parts.dir, 'bin');
    mkdirSync(this.#bin, { recursive: true });
    writeFileSync(join(this.#bin, 'ctr'), `#!/bin/sh\nexec ${parts.ctr} "$@"\n`, { mode: 0o755 });
  }

  /**
   * A scenario's namespace, another one of each side: cgroups are named after it, and would hold the processes of both.
   */
  namespace(scenario: string): string {
    return `${scenario}.${this.parts.name === 'theirs' ? 't' : 'o'}`;
  }

  /** Where a scenario's lines run. */
  directory(scenario: string): string {
    return join(this.parts.dir, 'work', scenario);
  }

  /** Runs one line, and kills it with all that it started after half a minute. */
  run(scenario: string, line: string): Promise<Outcome> {
    const { shell, env, address, dir, name } = this.parts;
    const directory = this.directory(scenario);
    const namespace = this.namespace(scenario);
    mkdirSync(directory, { recursive: true });
    const [program, ...before] = shell;
    // The shell may be one in another root, which sets its own variables: ours come last.
    const script = `PATH=${this.#bin}:$PATH; HOME=${dir}; cd ${directory} || exit 99\n${line}`;
    const child = spawn(program!, [...before, '-c', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: {
        PATH: `${process.env['PATH'] ?? ''}`,
        ...{ LANG: 'C', TZ: 'UTC', NS: namespace, CONTAINERD_NAMESPACE: namespace, CONTAINERD_ADDRESS: address },
        ...{ ...env, OWN: `${env['R'] ?? ''}/${name}` },
      },
    });
    return collect(child);
  }
}

function collect(child: ReturnType<typeof spawn>): Promise<Outcome> {
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  const late = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), patience);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(late);
      resolve({
        code: code ?? 128 + constants.signals[signal ?? 'SIGKILL'],
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
  });
}
