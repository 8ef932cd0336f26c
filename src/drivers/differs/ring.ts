import { HakoError } from '#base/errors.ts';
import { stopped } from '#base/threads.ts';

/**
 * Hands bytes from one thread to another through shared memory, without copying them: slots that one side fills and the
 * other empties, each waiting for the other with `Atomics.wait`. A slot is a multiple of 512 bytes and only the last one is
 * partly filled, so no tar header ever lies across two.
 *
 * Nobody waits for ever: each wait looks around every `patience` milliseconds.
 */

export const slotSize = 1024 * 1024;
const slotCount = 8;
const patience = 250;
const maxSpare = 2;

const FILLED = 0;
const EMPTIED = 1;
/** 0 while more comes, 1 at a good end, 2 when the filling side failed. */
const ENDED = 2;
/** What the emptying side, or the caller, wants of the filling one: one of the orders. */
const ORDER = 3;
const LENGTHS = 4;
const controlWords = LENGTHS + slotCount;
/** A 64-bit count needs alignment. */
const controlBytes = Math.ceil(controlWords / 2) * 8;

const GO_ON = 0;
/** Fill no more, but read and hash the source to its end: to tell a bad archive from a damaged one. */
const DRAIN = 1;
const HALT = 2;

export type RingMemory = SharedArrayBuffer;

export const makeRing = (): RingMemory => new SharedArrayBuffer(controlBytes + 8 + slotCount * slotSize);

/** Makes a ring that both sides have let go of as good as new. */
export const resetRing = (memory: RingMemory): void => void new Uint8Array(memory, 0, controlBytes + 8).fill(0);

class RingSide {
  protected readonly control: Int32Array;
  protected readonly counter: BigInt64Array;
  readonly #memory: RingMemory;

  constructor(memory: RingMemory) {
    this.#memory = memory;
    this.control = new Int32Array(memory, 0, controlWords);
    this.counter = new BigInt64Array(memory, controlBytes, 1);
  }

  protected slot(serial: number): Buffer {
    return Buffer.from(this.#memory, controlBytes + 8 + (serial % slotCount) * slotSize, slotSize);
  }

  protected signal(word: number, value: number): void {
    Atomics.store(this.control, word, value);
    Atomics.notify(this.control, word);
  }

  /** Sleeps until `word` is no longer `value`, or a little while. */
  protected sleep(word: number, value: number): void {
    Atomics.wait(this.control, word, value, patience);
  }
}

/** For the thread that has the caller's ear. */
export class RingCaller extends RingSide {
  /** Both sides give up at their next look. */
  halt(): void {
    Atomics.store(this.control, ORDER, HALT);
    Atomics.notify(this.control, FILLED);
    Atomics.notify(this.control, EMPTIED);
  }

  /** How far into its source the filling side is. */
  get position(): number {
    return Number(Atomics.load(this.counter, 0));
  }
}

/** A few rings that are free: the collector is in no hurry to give back memory that it does not see. */
export class SpareRings {
  readonly #free: RingMemory[] = [];

  take(): RingMemory {
    return this.#free.pop() ?? makeRing();
  }

  /** Both sides must have let go of it. */
  give(memory: RingMemory): void {
    resetRing(memory);
    if (this.#free.length < maxSpare) this.#free.push(memory);
  }

  clear(): void {
    this.#free.length = 0;
  }
}

export class RingFiller extends RingSide {
  #filled = 0;

  /** Whether the bytes are still wanted. Throws when nothing is. */
  wanted(): boolean {
    const order = Atomics.load(this.control, ORDER);
    if (order === HALT) throw stopped();
    return order === GO_ON;
  }

  /** The next slot to fill, once it is free; undefined when nobody wants it any more. */
  next(check: () => void): Buffer | undefined {
    while (this.wanted()) {
      check();
      const emptied = Atomics.load(this.control, EMPTIED);
      if (this.#filled - emptied < slotCount) return this.slot(this.#filled);
      this.sleep(EMPTIED, emptied);
    }
    return undefined;
  }

  publish(length: number): void {
    this.control[LENGTHS + (this.#filled % slotCount)] = length;
    this.#filled += 1;
    this.signal(FILLED, this.#filled);
  }

  end(good: boolean): void {
    Atomics.store(this.control, ENDED, good ? 1 : 2);
    // The other side sleeps on FILLED: wake it, its value tells nothing new.
    Atomics.notify(this.control, FILLED);
  }

  moveTo(position: number): void {
    Atomics.store(this.counter, 0, BigInt(position));
  }
}

export class RingEmptier extends RingSide {
  #emptied = 0;
  #holds = false;

  /** Gives back the slot before and waits for the next; undefined at the end. */
  next(check: () => void): Buffer | undefined {
    this.#giveBack();
    for (;;) {
      check();
      const piece = this.#look();
      if (piece !== 'wait') return piece;
      this.sleep(FILLED, this.#emptied);
    }
  }

  #giveBack(): void {
    if (!this.#holds) return;
    this.#emptied += 1;
    this.#holds = false;
    this.signal(EMPTIED, this.#emptied);
  }

  /** The next slot, undefined at the end, or that there is neither yet: then as many are filled as are emptied. */
  #look(): Buffer | undefined | 'wait' {
    if (Atomics.load(this.control, ORDER) === HALT) throw stopped();
    // In this order: what was filled before the end was told is taken before the end is believed.
    const ended = Atomics.load(this.control, ENDED);
    const filled = Atomics.load(this.control, FILLED);
    if (filled > this.#emptied) {
      this.#holds = true;
      return this.slot(this.#emptied).subarray(0, this.control[LENGTHS + (this.#emptied % slotCount)]);
    }
    if (ended === 1) return undefined;
    if (ended === 2) throw new HakoError('aborted', 'the layer could not be read to its end');
    return 'wait';
  }

  /** As `next`, for a thread that must not sleep. */
  async take(): Promise<Buffer | undefined> {
    this.#giveBack();
    for (;;) {
      const piece = this.#look();
      if (piece !== 'wait') return piece;
      const filled = this.#emptied;
      const sleep = Atomics.waitAsync(this.control, FILLED, filled, patience);
      if (sleep.async) await sleep.value;
    }
  }

  /** Tells the other side to fill no more. `drain`: it should still read its source to the end. */
  refuse(drain: boolean): void {
    Atomics.compareExchange(this.control, ORDER, GO_ON, drain ? DRAIN : HALT);
    Atomics.notify(this.control, EMPTIED);
  }
}
