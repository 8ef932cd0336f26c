import { HakoError } from '#base/errors.ts';

/** A call with streams both ways, used as one question and one answer at a time. */
export class Exchange<Question, Answer> {
  readonly #answers: AsyncIterator<Answer, void>;
  #asked: PromiseWithResolvers<Question | undefined> = Promise.withResolvers();
  readonly #stop = new AbortController();
  #over = false;

  /** `call` begins the call: its requests are what is asked, and it ends with the signal. */
  constructor(call: (questions: AsyncIterable<Question>, signal: AbortSignal) => AsyncIterable<Answer, void>) {
    this.#answers = call(this.#questions(), this.#stop.signal)[Symbol.asyncIterator]();
  }

  async ask(question: Question): Promise<Answer> {
    if (this.#over) throw new HakoError('unavailable', 'the call has ended');
    this.#asked.resolve(question);
    try {
      const next = await this.#answers.next();
      if (next.done !== true) return next.value;
      throw new HakoError('unavailable', 'the call ended without an answer');
    } catch (error) {
      this.#over = true;
      throw error;
    }
  }

  /** Says that nothing more comes, and waits for the other side to end. */
  async end(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.#asked.resolve(undefined);
    while ((await this.#answers.next()).done !== true);
  }

  /** Breaks the call off. */
  cancel(reason: Error): void {
    this.#over = true;
    this.#asked.resolve(undefined);
    this.#stop.abort(reason);
  }

  async *#questions(): AsyncGenerator<Question> {
    for (;;) {
      const question = await this.#asked.promise;
      if (question === undefined) return;
      // Before it goes out: the next one may be asked as soon as this one is answered.
      this.#asked = Promise.withResolvers();
      yield question;
    }
  }
}
