import type { Socket } from 'node:net';
import { HakoError } from '#base/errors.ts';
import { parseHost, type Address } from './address.ts';
import { replyError, request, type Reply, type RequestOptions } from './http.ts';
import { jsonLines, outputParts } from './streams.ts';
import type { StreamPart } from '#wire/docker-stream.ts';
import type { ContainerDetail, ContainerSummary, ExecDetail, ImageSummary, ProgressMessage } from './types.ts';

export interface DockerClientOptions {
  /** `unix:///path` or `tcp://host:port`. */
  readonly host: string;
  /** Another namespace than the door's own. */
  readonly namespace?: string | undefined;
}

export type Parameters = Readonly<Record<string, string | number | boolean | undefined>>;
export type Filters = Readonly<Record<string, readonly string[]>>;

/** A connection that carries a container's streams. */
export interface Hijacked {
  readonly socket: Socket;
  /** Output, taken apart unless it comes from a terminal. */
  output(tty: boolean): AsyncIterable<StreamPart>;
}

/** The Docker Engine API, as far as the Docker door of Hakobune has it. Errors are HakoErrors in the daemon's words. */
export class DockerClient {
  readonly host: string;
  readonly #address: Address;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(options: DockerClientOptions) {
    this.host = options.host;
    this.#address = parseHost(options.host);
    const { namespace } = options;
    this.#headers = namespace === undefined || namespace === '' ? {} : { 'X-Hakobune-Namespace': namespace };
  }

  version(): Promise<Record<string, unknown>> {
    return this.#json('GET', '/version');
  }

  info(): Promise<Record<string, unknown>> {
    return this.#json('GET', '/info');
  }

  createContainer(
    body: unknown,
    query: { name?: string; platform?: string },
  ): Promise<{ Id: string; Warnings?: string[] | null }> {
    return this.#json('POST', `/containers/create${print(query)}`, { body });
  }

  startContainer(id: string): Promise<void> {
    return this.#done('POST', `${container(id)}/start`);
  }

  stopContainer(id: string, query: { signal?: string | undefined; t?: number | undefined } = {}): Promise<void> {
    return this.#done('POST', `${container(id)}/stop${print(query)}`);
  }

  restartContainer(id: string, query: { signal?: string | undefined; t?: number | undefined } = {}): Promise<void> {
    return this.#done('POST', `${container(id)}/restart${print(query)}`);
  }

  killContainer(id: string, signal: string): Promise<void> {
    return this.#done('POST', `${container(id)}/kill${print({ signal })}`);
  }

  pauseContainer(id: string): Promise<void> {
    return this.#done('POST', `${container(id)}/pause`);
  }

  unpauseContainer(id: string): Promise<void> {
    return this.#done('POST', `${container(id)}/unpause`);
  }

  renameContainer(id: string, name: string): Promise<void> {
    return this.#done('POST', `${container(id)}/rename${print({ name })}`);
  }

  removeContainer(id: string, query: { force?: boolean; v?: boolean } = {}): Promise<void> {
    return this.#done('DELETE', `${container(id)}${print(query)}`);
  }

  resizeContainer(id: string, size: { h: number; w: number }): Promise<void> {
    return this.#done('POST', `${container(id)}/resize${print(size)}`);
  }

  listContainers(
    query: { all?: boolean; limit?: number; size?: boolean; filters?: Filters } = {},
  ): Promise<ContainerSummary[]> {
    return this.#json('GET', `/containers/json${print({ ...query, filters: filters(query.filters) })}`);
  }

  inspectContainer(id: string, query: { size?: boolean } = {}): Promise<ContainerDetail> {
    return this.#json('GET', `${container(id)}/json${print(query)}`);
  }

  top(id: string, psArgs?: string): Promise<{ Titles: string[]; Processes: string[][] }> {
    return this.#json('GET', `${container(id)}/top${print({ ps_args: psArgs })}`);
  }

  /** Resolves when the daemon has registered the wait; `exit` when the condition is met. */
  async wait(
    id: string,
    condition: 'not-running' | 'next-exit' | 'removed',
    signal?: AbortSignal,
  ): Promise<{ exit: Promise<{ StatusCode: number; Error?: { Message: string } | null }> }> {
    const reply = await this.#ask('POST', `${container(id)}/wait${print({ condition })}`, { signal });
    const exit = readJson<{ StatusCode: number }>(reply);
    // It may fail long before anyone looks.
    exit.catch(() => {});
    return { exit };
  }

  async *logs(
    id: string,
    query: {
      follow?: boolean;
      tail?: string | undefined;
      since?: string | undefined;
      until?: string | undefined;
      timestamps?: boolean;
    },
    tty: boolean,
  ): AsyncGenerator<StreamPart> {
    const reply = await this.#ask('GET', `${container(id)}/logs${print({ stdout: true, stderr: true, ...query })}`);
    yield* outputParts(bodyOf(reply), tty);
  }

  attach(
    id: string,
    query: { stdin?: boolean; stdout?: boolean; stderr?: boolean; logs?: boolean; detachKeys?: string | undefined },
  ): Promise<Hijacked> {
    return this.#hijack(`${container(id)}/attach${print({ stream: true, ...query })}`);
  }

  createExec(id: string, body: unknown): Promise<{ Id: string }> {
    return this.#json('POST', `${container(id)}/exec`, { body });
  }

  startExec(id: string, body: { Tty: boolean; ConsoleSize?: [number, number] }): Promise<Hijacked> {
    return this.#hijack(`/exec/${encodeURIComponent(id)}/start`, { ...body, Detach: false });
  }

  startDetachedExec(id: string): Promise<void> {
    return this.#done('POST', `/exec/${encodeURIComponent(id)}/start`, { body: { Detach: true } });
  }

  resizeExec(id: string, size: { h: number; w: number }): Promise<void> {
    return this.#done('POST', `/exec/${encodeURIComponent(id)}/resize${print(size)}`);
  }

  inspectExec(id: string): Promise<ExecDetail> {
    return this.#json('GET', `/exec/${encodeURIComponent(id)}/json`);
  }

  listImages(query: { all?: boolean; filters?: Filters } = {}): Promise<ImageSummary[]> {
    return this.#json('GET', `/images/json${print({ ...query, filters: filters(query.filters) })}`);
  }

  inspectImage(name: string): Promise<Record<string, unknown>> {
    return this.#json('GET', `/images/${imagePath(name)}/json`);
  }

  imageHistory(name: string): Promise<Record<string, unknown>[]> {
    return this.#json('GET', `/images/${imagePath(name)}/history`);
  }

  removeImage(
    name: string,
    query: { force?: boolean; noprune?: boolean } = {},
  ): Promise<{ Untagged?: string; Deleted?: string }[]> {
    return this.#json('DELETE', `/images/${imagePath(name)}${print(query)}`);
  }

  tagImage(name: string, repo: string, tag: string | undefined): Promise<void> {
    return this.#done('POST', `/images/${imagePath(name)}/tag${print({ repo, tag })}`);
  }

  /** The progress of a pull. An error that comes as a line is thrown. `auth` is the value of X-Registry-Auth. */
  pullImage(
    query: { fromImage: string; tag?: string | undefined; platform?: string | undefined },
    auth?: string,
    timing = false,
  ): AsyncGenerator<ProgressMessage> {
    const headers = {
      ...(auth === undefined ? {} : { 'X-Registry-Auth': auth }),
      ...(timing ? { 'X-Hakobune-Timing': '1' } : {}),
    };
    return this.#progress('POST', `/images/create${print(query)}`, headers);
  }

  pushImage(name: string, tag: string | undefined, auth?: string): AsyncGenerator<ProgressMessage> {
    return this.#progress('POST', `/images/${imagePath(name)}/push${print({ tag })}`, {
      'X-Registry-Auth': auth ?? 'e30=',
    });
  }

  async *events(query: {
    since?: string | undefined;
    until?: string | undefined;
    filters?: Filters;
  }): AsyncGenerator<Record<string, unknown>> {
    const reply = await this.#ask('GET', `/events${print({ ...query, filters: filters(query.filters) })}`);
    yield* jsonLines(bodyOf(reply)) as AsyncGenerator<Record<string, unknown>>;
  }

  async *#progress(method: string, path: string, headers: Record<string, string>): AsyncGenerator<ProgressMessage> {
    const reply = await this.#ask(method, path, { headers });
    for await (const line of jsonLines(bodyOf(reply)) as AsyncGenerator<ProgressMessage>) {
      if (line.errorDetail !== undefined)
        throw replyError(line.errorDetail.code ?? 500, line.errorDetail.message ?? line.error ?? '');
      yield line;
    }
  }

  async #hijack(path: string, body?: unknown): Promise<Hijacked> {
    const reply = await this.#ask('POST', path, { body, upgrade: true });
    return { socket: reply.socket, output: (tty) => outputParts(reply.body, tty) };
  }

  async #json<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    return readJson<T>(await this.#ask(method, path, options));
  }

  async #done(method: string, path: string, options: RequestOptions = {}): Promise<void> {
    const reply = await this.#ask(method, path, options);
    reply.socket.destroy();
  }

  /** 304 is no error: what was asked for is so already. */
  async #ask(method: string, path: string, options: RequestOptions = {}): Promise<Reply> {
    const headers = { ...this.#headers, ...options.headers };
    const reply = await request(this.#address, method, path, { ...options, headers }).catch((error: unknown) => {
      throw unreachable(this.host, error);
    });
    if (reply.status < 400) return reply;
    const text = await readText(reply);
    throw replyError(reply.status, text);
  }
}

/** The body; the connection is closed with it, whether it was read to its end, broke, or was left. */
async function* bodyOf(reply: Reply): AsyncGenerator<Uint8Array> {
  try {
    yield* reply.body;
  } finally {
    reply.socket.destroy();
  }
}

const readJson = async <T>(reply: Reply): Promise<T> => {
  const text = await readText(reply);
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new HakoError('data-loss', 'the daemon answered with something that is not JSON', error);
  }
};

async function readText(reply: Reply): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bodyOf(reply)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function unreachable(host: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (error instanceof HakoError || code === undefined) return error;
  if (code === 'EACCES' || code === 'EPERM') {
    return new HakoError(
      'permission-denied',
      `no permission to use the daemon's socket ${host}: run as root or join the socket's group`,
      error,
    );
  }
  const why = code === 'ENOENT' ? 'there is no such socket' : code === 'ECONNREFUSED' ? 'nobody listens there' : code;
  return new HakoError(
    'unavailable',
    `cannot reach the daemon at ${host}: ${why}; is it running? Start it with "hakod"`,
    error,
  );
}

const container = (id: string): string => `/containers/${encodeURIComponent(id)}`;
/** Slashes stay: registries and repositories are part of the path. */
const imagePath = (name: string): string => name.split('/').map(encodeURIComponent).join('/');
const filters = (values: Filters | undefined): string | undefined =>
  values === undefined || Object.keys(values).length === 0 ? undefined : JSON.stringify(values);

function print(query: Parameters): string {
  const parts = Object.entries(query)
    .filter(([, value]) => value !== undefined && value !== '' && value !== false)
    .map(([name, value]) => `${name}=${encodeURIComponent(value === true ? '1' : String(value))}`);
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}
