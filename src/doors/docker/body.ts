import type { IncomingMessage } from 'node:http';
import { HakoError, invalid } from '#base/errors.ts';

/** No request that we read whole is near this: a container with thousands of variables has some hundred KiB. */
const limit = 4 * 1024 * 1024;
/** A client that sends its body slower than this has stopped. */
const patienceMs = 60_000;

export type JsonObject = { readonly [key: string]: unknown };

/** The body as a JSON object; undefined when there is none. */
export async function readJson(request: IncomingMessage, signal: AbortSignal): Promise<JsonObject | undefined> {
  const text = await readText(request, signal);
  if (text.trim() === '') return undefined;
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw invalid(`Content-Type is "${request.headers['content-type'] ?? ''}": must be "application/json"`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw invalid(`the request's body is not JSON: ${(error as Error).message}`, error);
  }
  if (parsed === null) return undefined;
  if (typeof parsed !== 'object' || Array.isArray(parsed)) throw invalid("the request's body must be a JSON object");
  return parsed as JsonObject;
}

async function readText(request: IncomingMessage, signal: AbortSignal): Promise<string> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
  const onAbort = (): void => void request.destroy(until.reason as Error);
  until.addEventListener('abort', onAbort, { once: true });
  try {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > limit) throw new HakoError('invalid-argument', `the request's body is larger than ${limit} bytes`);
      chunks.push(chunk);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    if (error instanceof TypeError) throw invalid("the request's body is not UTF-8", error);
    if ((error as NodeJS.ErrnoException).code === 'ECONNRESET')
      throw new HakoError('cancelled', 'the client left in the middle of its body', error);
    throw error;
  } finally {
    until.removeEventListener('abort', onAbort);
  }
}

/** Reads fields of a body in Docker's shape; `null` is as good as absent, as Go's decoder has it. */
export class Fields {
  readonly #body: JsonObject;
  readonly #what: string;

  constructor(body: JsonObject | undefined, what: string) {
    this.#body = body ?? {};
    this.#what = what;
  }

  text(name: string): string {
    return this.#take(name, 'a string', (value) => typeof value === 'string') ?? '';
  }

  flag(name: string): boolean {
    return this.#take(name, 'true or false', (value) => typeof value === 'boolean') ?? false;
  }

  texts(name: string): readonly string[] {
    const isTexts = (value: unknown): value is readonly string[] =>
      Array.isArray(value) && value.every((item) => typeof item === 'string');
    return this.#take(name, 'a list of strings', isTexts) ?? [];
  }

  /** Two whole numbers, as ConsoleSize is. */
  pair(name: string): readonly [number, number] | undefined {
    const isPair = (value: unknown): value is readonly [number, number] =>
      Array.isArray(value) && value.length === 2 && value.every((item) => Number.isSafeInteger(item) && item >= 0);
    return this.#take(name, 'a list of two numbers', isPair);
  }

  object(name: string): JsonObject | undefined {
    const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && !Array.isArray(value);
    return this.#take(name, 'an object', isObject);
  }

  #take<T>(
    name: string,
    what: string,
    fits: ((value: unknown) => value is T) | ((value: unknown) => boolean),
  ): T | undefined {
    const value = this.#body[name];
    if (value === undefined || value === null) return undefined;
    if (!fits(value)) throw invalid(`${this.#what}: "${name}" must be ${what}`);
    return value as T;
  }
}
