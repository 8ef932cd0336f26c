import { invalid, unimplemented } from '#base/errors.ts';
import { familiar, normalizeReference, parseReference } from '#base/reference.ts';
import type { PullProgress } from '#services/pull.ts';
import { parseRegistryAuth } from './auth.ts';
import { httpError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { PullLines, PushLines, repository, type ProgressLine, type Step } from './progress.ts';

/** Asks for the stages' times as a line of its own, which stock clients would not know how to show. */
const timingHeader = 'x-hakobune-timing';

/**
 * The progress of a transfer. Nothing is sent before the first line: what fails until then is an HTTP status, what fails later
 * is a line with `errorDetail`, for the status is gone by then.
 */
class ProgressStream {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  send(line: ProgressLine | { readonly errorDetail: unknown; readonly error: string }): void {
    if (!this.#exchange.answered) this.#exchange.begin(200, 'application/json');
    this.#exchange.push(`${JSON.stringify(line)}\r\n`);
  }

  /** Bars are dropped for a client that reads slowly: memory must not pay for it. */
  steps(steps: readonly Step[]): void {
    for (const { line, moving } of steps) if (!moving || !this.#exchange.congested) this.send(line);
  }

  /** Ends the answer; `work` tells whatever is left to tell. */
  async during(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#exchange.answered) throw error;
      const { status, message } = httpError(error);
      this.send({ errorDetail: { code: status, message }, error: message });
    }
    this.#exchange.end();
  }
}

/** `POST /images/create`: a pull. */
export async function pull(exchange: Exchange): Promise<void> {
  const { query, engine, call } = exchange;
  if (query.text('fromSrc') !== '') throw unimplemented('image import (POST /images/create with "fromSrc")');
  const reference = normalizeReference(withTag(query.text('fromImage'), query.text('tag')));
  const credentials = parseRegistryAuth(exchange.header('x-registry-auth'));
  const platform = query.text('platform');
  const options = {
    ...(credentials === undefined ? {} : { credentials }),
    ...(platform === '' ? {} : { platform }),
  };
  const lines = new PullLines(reference);
  const stream = new ProgressStream(exchange);
  const timed = exchange.header(timingHeader) !== undefined;
  const onProgress = (event: PullProgress): void => {
    if (event.kind !== 'timing') stream.steps(lines.next(event));
    else if (timed) stream.send({ aux: { 'hakobune.io/timing': event } });
  };
  await stream.during(async () => {
    const name = familiar(reference);
    const done = await engine.pull(call, name, options, onProgress);
    stream.send({ status: `Digest: ${done.digest}` });
    stream.send({ status: `Status: ${done.upToDate ? 'Image is up to date' : 'Downloaded newer image'} for ${name}` });
  });
}

/** `POST /images/{name}/push`. */
export async function push(exchange: Exchange): Promise<void> {
  const { query, engine, call } = exchange;
  const name = exchange.parameter('name');
  const tag = query.text('tag');
  const asked = parseReference(withTag(name, tag));
  if (asked.tag === undefined) throw unimplemented(`pushing all tags of "${name}" at once (give one as "tag")`);
  const credentials = parseRegistryAuth(exchange.header('x-registry-auth'));
  const lines = new PushLines();
  const stream = new ProgressStream(exchange);
  await stream.during(async () => {
    const options = credentials === undefined ? {} : { credentials };
    let begun = false;
    const begin = (): void => {
      if (!begun) stream.send({ status: `The push refers to repository [${repository(asked)}]` });
      begun = true;
    };
    const done = await engine.push(call, familiar(asked), options, (event) => {
      begin();
      stream.steps(lines.next(event));
    });
    begin();
    stream.send({ status: `${asked.tag}: digest: ${done.digest} size: ${done.size}` });
    stream.send({ aux: { Tag: asked.tag, Digest: done.digest, Size: done.size } });
  });
}

/** Docker's clients send name and tag apart, and a digest as a tag. */
export function withTag(name: string, tag: string): string {
  if (name === '') throw invalid('the name of the image is missing: give "fromImage"');
  if (tag === '') return name;
  return tag.includes(':') ? `${name}@${tag}` : `${stripTag(name)}:${tag}`;
}

/** A tag given apart wins over one in the name. */
function stripTag(name: string): string {
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') && !name.includes('@') ? name.slice(0, colon) : name;
}
