import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import type { Any } from '#core/any.ts';

/** Objects to and from one client. One reader and one writer at a time. */
export interface ObjectStream {
  /** Resolves when the object is on its way. unavailable when the stream has ended. */
  send(object: Any): Promise<void>;
  /** The next object from the client, undefined when it has sent all. */
  receive(): Promise<Any | undefined>;
  /** Ends the stream once what was sent is on its way. */
  close(): void;
}

interface Registered {
  readonly namespace: string;
  readonly id: string;
  readonly lease: string | undefined;
  readonly stream: ObjectStream;
}

/**
 * Streams that clients hold open, each under an id by which their other calls name it. A stream that was opened under a
 * lease ends with it, by the garbage collector; others last as long as their client wants.
 */
export class Streaming {
  /** What the garbage collector calls them. */
  readonly kind = 'stream';
  readonly #streams = new Map<string, Registered>();

  /** Known from now on until disposed of. already-exists when the namespace has a stream with that id. */
  register(call: Call, id: string, stream: ObjectStream): Disposable {
    const { namespace, lease } = call;
    const key = keyOf(namespace, id);
    if (this.#streams.has(key)) throw new HakoError('already-exists', 'already exists');
    const registered: Registered = { namespace, id, lease, stream };
    this.#streams.set(key, registered);
    return {
      [Symbol.dispose]: () => {
        if (this.#streams.get(key) === registered) this.#streams.delete(key);
      },
    };
  }

  /** not-found when no client has opened it in this namespace. */
  get(call: Call, id: string): ObjectStream {
    const found = this.#streams.get(keyOf(call.namespace, id));
    if (found === undefined) throw new HakoError('not-found', 'not found');
    return found.stream;
  }

  /** All there are, for the garbage collector. */
  *all(): Generator<{ namespace: string; name: string; lease?: string; active: boolean }> {
    for (const { namespace, id, lease } of this.#streams.values())
      yield { namespace, name: id, ...(lease !== undefined && { lease }), active: lease === undefined };
  }

  /** Ends one that nothing holds. */
  async remove(namespace: string, name: string): Promise<void> {
    const key = keyOf(namespace, name);
    const found = this.#streams.get(key);
    this.#streams.delete(key);
    found?.stream.close();
  }
}

const keyOf = (namespace: string, id: string): string => `${namespace}\0${id}`;
