/** Values of several sources as they come; a source that is not asked for more waits. Leaving ends them all. */
export async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const step = async (index: number): Promise<{ index: number; result: IteratorResult<T> }> => ({
    index,
    result: await (iterators[index] as AsyncIterator<T>).next(),
  });
  const pending = new Map(iterators.map((_, index) => [index, step(index)]));
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      if (result.done === true) {
        pending.delete(index);
        continue;
      }
      yield result.value;
      pending.set(index, step(index));
    }
  } finally {
    for (const step of pending.values()) step.catch(() => {});
    // A generator that waits inside its own await ends with its signal; nobody waits for it here.
    for (const iterator of iterators) iterator.return?.()?.catch?.(() => {});
  }
}

/** The values of `source`, each with its name. */
export async function* labelled<Name extends string>(
  source: AsyncIterable<Uint8Array>,
  stream: Name,
): AsyncGenerator<{ stream: Name; data: Uint8Array }> {
  for await (const data of source) yield { stream, data };
}
