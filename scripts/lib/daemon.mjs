// A private hakod in a directory of its own: for the quickstart, the benchmarks and the tests.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environment, house } from './house.mjs';
import { sweep, tracesAfter } from './traces.mjs';
import { tail } from './run.mjs';

/**
 * Starts hakod with root, state and sockets below `dir` (a new temporary directory by default) and waits until both
 * doors answer. `config` is TOML, `args` more flags. `stop` ends it kindly, `kill` at once; `start` starts it again on
 * the same directories; `end` stops it and removes everything, by force where it must, and gives what was in the way.
 */
export async function startDaemon({ dir = mkdtempSync(join(tmpdir(), 'hako-')), config, args = [], env = {} } = {}) {
  const daemon = new PrivateDaemon(dir, args, env);
  if (config !== undefined) daemon.configure(config);
  try {
    await daemon.start();
  } catch (error) {
    await daemon.end();
    throw error;
  }
  return daemon;
}

class PrivateDaemon {
  #child;
  #log = '';
  #args;
  #env;

  constructor(dir, args, env) {
    this.dir = dir;
    this.root = join(dir, 'root');
    this.state = join(dir, 'state');
    this.address = join(this.state, 'hakobune.sock');
    this.dockerAddress = join(this.state, 'docker.sock');
    this.configFile = join(dir, 'config.toml');
    this.#args = args;
    this.#env = env;
    mkdirSync(dir, { recursive: true });
    this.configure('version = 3\n');
  }

  /** Writes the configuration for the next start. */
  configure(text) {
    writeFileSync(this.configFile, text);
  }

  get pid() {
    return this.#child?.pid;
  }

  /** What it has written so far, over all starts. */
  log() {
    return this.#log;
  }

  async start({ timeout = 30_000 } = {}) {
    const flags = ['--config', this.configFile, '--root', this.root, '--state', this.state, '--log-level', 'debug'];
    const child = spawn(join(house, 'bin/hakod'), [...flags, ...this.#args], {
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(this.#env),
    });
    this.#child = child;
    const keep = (chunk) => {
      this.#log = (this.#log + chunk).slice(-1024 * 1024);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.gone = new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)));
    // A caller that dies without ending its daemon must not leave it behind.
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    void child.gone.then(() => process.off('exit', kill));
    await this.#ready(child, Date.now() + timeout);
  }

  async #ready(child, deadline) {
    for (;;) {
      const ended = await Promise.race([child.gone.then((how) => ({ how })), pause(20)]);
      if (ended !== undefined) throw new Error(`hakod ended with ${ended.how}:\n${tail(this.#log, 20)}`);
      if ((await answers(this.address)) && (await answers(this.dockerAddress))) return;
      if (Date.now() > deadline) throw new Error(`hakod did not open its sockets in time:\n${tail(this.#log, 20)}`);
    }
  }

  /** Asks it to stop and gives its exit code; containers run on. */
  async stop() {
    this.#child?.kill('SIGTERM');
    return this.#child?.gone;
  }

  /** kill -9. */
  async kill() {
    this.#child?.kill('SIGKILL');
    return this.#child?.gone;
  }

  /** Ends all of it. Gives, as lines, what did not go by itself and had to be removed by force. */
  async end() {
    const patience = new Promise((resolve) => setTimeout(resolve, 20_000, 'late').unref());
    if (this.#child !== undefined && (await Promise.race([this.stop(), patience])) === 'late') await this.kill();
    const left = await tracesAfter(this.dir, 20_000);
    await sweep(this.dir);
    return left;
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds, undefined));

function answers(path) {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (yes) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}
