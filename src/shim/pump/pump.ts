import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import type { Logger } from '#base/log.ts';
import { writeFd } from '#sys/fd.ts';
import type { FromPump, InputPlan, ProcessPlan, ToPump } from './messages.ts';

/** What the pump tells on its own account. */
export interface PumpEvents {
  sinkClosed(key: string, stream: string): void;
  inputClosed(key: string): void;
}

/** The shim's side of the pump thread, which moves all standard streams. */
export class Pump {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #tickets = new Map<number, () => void>();
  readonly #one = new Uint8Array(new BigUint64Array([1n]).buffer);
  #wake: number | undefined;
  #next = -1;
  #busy = 0;
  events: PumpEvents = { sinkClosed: () => {}, inputClosed: () => {} };
  /** Resolves when the thread runs. Messages before that wait for it. */
  readonly ready: Promise<void>;

  constructor(logger: Logger, onFailure: (error: unknown) => void) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { inbox: port2 },
      transferList: [port2],
    });
    this.#worker.on('error', onFailure);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#worker.on('message', (message: FromPump) => {
      if (message.type === 'warning') logger.log('warn', message.message);
      else if (message.type === 'sink-closed') this.events.sinkClosed(message.key, message.stream);
      else if (message.type === 'input-closed') this.events.inputClosed(message.key);
      else if (message.type === 'busy') this.#busy = message.count;
      else if (this.#wake === undefined) {
        // The first message: the descriptor that wakes the thread.
        this.#wake = message.ticket;
        resolve();
        writeFd(this.#wake, this.#one);
      } else this.#done(message.ticket);
    });
  }

  /** True while removed processes' clients are still being fed. */
  get busy(): boolean {
    return this.#busy > 0;
  }

  add(plan: ProcessPlan): void {
    this.#post({ type: 'add', plan });
  }

  /** Begins to move a process's input; its descriptors change hands. */
  input(key: string, input: InputPlan): void {
    this.#post({ type: 'input', key, input });
  }

  /** Resolves when all output of the process is in its spool and log, or `grace` milliseconds have passed. */
  drain(key: string, grace: number): Promise<void> {
    return this.#ask((ticket) => ({ type: 'drain', key, grace, ticket }));
  }

  /** Resolves when what the client had written was handed on and the process's input is closed. */
  closeInput(key: string): Promise<void> {
    return this.#ask((ticket) => ({ type: 'close-input', key, ticket }));
  }

  remove(key: string): void {
    this.#post({ type: 'remove', key });
  }

  /** Resolves when the descriptor is readable, which a pidfd is once its process has ended. */
  watch(pidfd: number): Promise<void> {
    return this.#ask((ticket) => ({ type: 'watch', pidfd, ticket }));
  }

  async stop(): Promise<void> {
    await this.ready;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#worker.once('exit', () => resolve());
    this.#post({ type: 'stop' });
    this.#port.close();
    await promise;
  }

  #ask(message: (ticket: number) => ToPump): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const ticket = this.#next--;
    this.#tickets.set(ticket, resolve);
    this.#post(message(ticket));
    return promise;
  }

  #done(ticket: number): void {
    this.#tickets.get(ticket)?.();
    this.#tickets.delete(ticket);
  }

  #post(message: ToPump): void {
    this.#port.postMessage(message);
    if (this.#wake !== undefined) writeFd(this.#wake, this.#one);
  }
}
