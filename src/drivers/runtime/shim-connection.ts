import { spawn } from 'node:child_process';
import { mkdirSync, openSync, closeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, HakoError } from '#base/errors.ts';
import { abortable } from '#base/locks.ts';
import type { Logger } from '#base/log.ts';
import { TtrpcClient } from '#wire/ttrpc-client.ts';

export interface ShimConnectionOptions {
  readonly state: string;
  /** Program and first arguments that start the keeper; `keeper --state DIR` follows. */
  readonly shimCommand: readonly [string, ...string[]];
  readonly logger: Logger;
  /** Called before a keeper is started, which means that there is none. */
  readonly onNoKeeper: () => void;
}

/** How long a keeper may take until it listens, in milliseconds. */
const patience = 10_000;

/** The connection to the shim of a state directory. It starts the keeper when there is none. */
export class ShimConnection {
  readonly #options: ShimConnectionOptions;
  readonly #socket: string;
  #client: Promise<TtrpcClient> | undefined;
  #closed = false;

  constructor(options: ShimConnectionOptions) {
    this.#options = options;
    this.#socket = path.join(options.state, 'shim', 'shim.sock');
  }

  /** The one connection; the first call makes it, and so does the first after it was lost. */
  async get(signal: AbortSignal): Promise<TtrpcClient> {
    if (this.#closed) throw new HakoError('unavailable', 'the runtime driver is closed');
    // Shared by all who ask, so it must not end with the first of them.
    const asked = (this.#client ??= this.#open());
    const client = await abortable(asked, signal);
    if (!client.isClosed) return client;
    // Unless another caller has begun to make a new one.
    if (this.#client === asked) this.#client = undefined;
    return this.get(signal);
  }

  async #open(): Promise<TtrpcClient> {
    try {
      return await this.#connectOrStart();
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  async #connectOrStart(): Promise<TtrpcClient> {
    const existing = await this.#connect();
    if (existing !== undefined) return existing;
    this.#options.onNoKeeper();
    const started = this.#startKeeper();
    const deadline = performance.now() + patience;
    let pause = 2;
    for (;;) {
      const client = await this.#connect();
      if (client !== undefined) return client;
      if (performance.now() > deadline) {
        throw new HakoError(
          'unavailable',
          `hako-shim does not answer at "${this.#socket}"; see ${path.join(this.#options.state, 'shim', 'shim.log')}`,
        );
      }
      if (started.failure !== undefined)
        throw new HakoError(
          'unavailable',
          `hako-shim cannot be started: ${started.failure}; see ${path.join(this.#options.state, 'shim', 'shim.log')}`,
        );
      await sleep(pause);
      pause = Math.min(pause * 1.5, 50);
    }
  }

  async #connect(): Promise<TtrpcClient | undefined> {
    try {
      return await TtrpcClient.connect(this.#socket);
    } catch (error) {
      if (codeOf(error) === 'unavailable') return undefined;
      throw error;
    }
  }

  /** In a session of its own, so that it outlives us; its file of complaints is next to its socket. */
  #startKeeper(): { failure?: string } {
    const { state, shimCommand, logger } = this.#options;
    const directory = path.join(state, 'shim');
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const [program, ...parameters] = shimCommand;
    const log = openSync(path.join(directory, 'shim.log'), 'a', 0o600);
    const outcome: { failure?: string } = {};
    try {
      const keeper = spawn(program, [...parameters, 'keeper', '--state', state], {
        detached: true,
        cwd: '/',
        stdio: ['ignore', log, log],
      });
      keeper.on('error', (error) => (outcome.failure = error.message));
      keeper.on('exit', (code, signal) => {
        logger.log(code === 0 ? 'debug' : 'warn', 'keeper ended', { code, signal });
        if (code !== 0) outcome.failure = `ended with ${signal ?? `status ${code}`}`;
      });
      keeper.unref();
    } finally {
      closeSync(log);
    }
    return outcome;
  }

  /** Lets go; the shim goes on serving its containers. */
  close(): void {
    this.#closed = true;
    void this.#client?.then(
      (client) => client.close(),
      () => {},
    );
  }
}
