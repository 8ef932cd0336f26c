import { constants } from 'node:os';
import { codeOf, messageOf } from '#base/errors.ts';
import { Failure } from '../../failure.ts';
import { print } from '../../output.ts';

const caught = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGCONT'] as const;

/** Who asks three times to end wants an end. */
const patience = 3;
const SIGKILL = 9;

/** Hands a signal's number to a process. */
export type Deliver = (signal: number, all: boolean) => Promise<unknown>;

/**
 * Signals that we get while we hold something that must be given back. Before the process runs they end the command at
 * its next `check`; afterwards they go to the process, and the third request to end it kills it.
 */
export class Interrupts implements Disposable {
  #deliver: Deliver | undefined;
  #early: NodeJS.Signals | undefined;
  #requests = 0;

  constructor() {
    for (const signal of caught) process.on(signal, this.#onSignal);
  }

  /** Throws when a signal came that was to end us. */
  check(): void {
    if (this.#early !== undefined) throw new Failure(128 + constants.signals[this.#early]);
  }

  forwardTo(deliver: Deliver): void {
    this.#deliver = deliver;
    if (this.#early !== undefined) this.#onSignal(this.#early);
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    const ends = signal === 'SIGINT' || signal === 'SIGTERM';
    if (ends) this.#requests += 1;
    if (this.#deliver === undefined) {
      if (ends || signal === 'SIGHUP' || signal === 'SIGQUIT') this.#early = signal;
      if (this.#requests >= patience) process.exit(128 + constants.signals[signal]);
      return;
    }
    const kill = this.#requests >= patience;
    this.#deliver(kill ? SIGKILL : constants.signals[signal], kill).catch((error: unknown) => {
      // A process that has just ended is what the signal wanted.
      if (codeOf(error) === 'not-found' || codeOf(error) === 'failed-precondition') return;
      print(2, `hakoctl: cannot hand ${signal} to the process: ${messageOf(error)}\n`);
      if (codeOf(error) === 'unavailable') process.exit(1);
    });
  };

  [Symbol.dispose](): void {
    for (const signal of caught) process.off(signal, this.#onSignal);
  }
}
