import { HakoError } from '#base/errors.ts';
import type { DockerClient } from '#client/docker.ts';
import { print } from '../output.ts';

const proxied = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const;

/**
 * Hands signals that we get to the container, each of them, however often it comes. What comes before the container has
 * started waits until `started`. When the daemon cannot be reached, the signal ends us instead: it must not be swallowed.
 */
export class SignalProxy implements Disposable {
  readonly #client: DockerClient;
  readonly #id: string;
  readonly #early: NodeJS.Signals[] = [];
  #running = false;

  constructor(client: DockerClient, id: string) {
    this.#client = client;
    this.#id = id;
    for (const signal of proxied) process.on(signal, this.#onSignal);
  }

  started(): void {
    this.#running = true;
    for (const signal of this.#early.splice(0)) this.#forward(signal);
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    if (this.#running) this.#forward(signal);
    else this.#early.push(signal);
  };

  #forward(signal: NodeJS.Signals): void {
    this.#client.killContainer(this.#id, signal).catch((error: unknown) => {
      // A container that has just ended is what the signal wanted; everything else means nobody got it.
      if (error instanceof HakoError && (error.code === 'conflict' || error.code === 'not-found')) return;
      print(
        2,
        `hako: cannot hand ${signal} to the container: ${error instanceof Error ? error.message : String(error)}\n`,
      );
      this[Symbol.dispose]();
      process.exit(125);
    });
  }

  [Symbol.dispose](): void {
    for (const signal of proxied) process.off(signal, this.#onSignal);
  }
}
