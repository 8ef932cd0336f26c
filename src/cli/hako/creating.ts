import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { HakoError } from '#base/errors.ts';
import { normalizeReference, familiar } from '#base/reference.ts';
import type { Context } from '../command.ts';
import { Failure, UsageFailure } from '../failure.ts';
import { print } from '../output.ts';
import type { ContainerRequest, CreateParsed } from './container-request.ts';
import { ProgressView } from './progress.ts';
import { pullImage, type PullTimes } from './pulling.ts';

export interface Created {
  readonly id: string;
  readonly pull?: PullTimes;
  readonly createMs: number;
}

/** Creates the container, pulling its image when that is wanted. Warnings and progress go to stderr. */
export async function createContainer(
  context: Context,
  parsed: CreateParsed,
  request: ContainerRequest,
  timing: boolean,
): Promise<Created> {
  const { flags } = parsed;
  const policy = flags.pull ?? 'missing';
  if (!['always', 'missing', 'never'].includes(policy)) {
    throw new UsageFailure(`invalid pull option: "${policy}": must be one of "always", "missing" or "never"`);
  }
  using idFile = flags.cidfile === undefined || flags.cidfile === '' ? undefined : new IdFile(flags.cidfile);
  let pull: PullTimes | undefined;
  const pullNow = async (): Promise<void> => {
    const view = flags.quiet ? undefined : new ProgressView(2);
    pull = (await pullImage(context, { image: request.Image, platform: flags.platform, view, timing })).times;
  };
  if (policy === 'always') await pullNow();
  let began = performance.now();
  const attempt = () => context.client.createContainer(request, query(parsed));
  const { Id: id, Warnings } = await attempt().catch(async (error: unknown) => {
    if (!(error instanceof HakoError && error.code === 'not-found') || policy !== 'missing') throw error;
    print(2, `Unable to find image '${familiar(normalizeReference(request.Image))}' locally\n`);
    await pullNow();
    began = performance.now();
    return attempt();
  });
  for (const warning of Warnings ?? []) print(2, `WARNING: ${warning}\n`);
  idFile?.keep(id);
  return { id, createMs: performance.now() - began, ...(pull === undefined ? {} : { pull }) };
}

function query({ flags }: CreateParsed): { name?: string; platform?: string } {
  return {
    ...(flags.name === undefined ? {} : { name: flags.name }),
    ...(flags.platform === undefined ? {} : { platform: flags.platform }),
  };
}

/** Reserved before anything is made, so that no container is left that nobody knows the id of. */
class IdFile implements Disposable {
  readonly #path: string;
  readonly #fd: number;
  #kept = false;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = openSync(path, 'wx', 0o644);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST')
        throw new Failure(125, `cannot create the container ID file "${path}": ${code ?? String(error)}`);
      throw new Failure(125, `container ID file found, make sure the other container isn't running or delete ${path}`);
    }
  }

  keep(id: string): void {
    writeSync(this.#fd, id);
    this.#kept = true;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    if (!this.#kept) rmSync(this.#path, { force: true });
  }
}

/** The size that the container's terminal begins with. */
export function consoleSize(tty: boolean): { ConsoleSize?: [number, number] } {
  if (!tty || !isatty(1)) return {};
  const { columns, rows } = process.stdout;
  return columns > 0 && rows > 0 ? { ConsoleSize: [rows, columns] } : {};
}
