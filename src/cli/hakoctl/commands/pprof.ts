import { stat } from 'node:fs/promises';
import { HakoError } from '#base/errors.ts';
import { replyError, request } from '#client/http.ts';
import type { Flags } from '../../flags.ts';
import { pour } from '../../output.ts';
import { command, type Command } from '../command.ts';
import { duration, wholeNumber } from '../parse.ts';

interface Profile {
  /** Behind `/debug/pprof/`. */
  readonly path: string;
  readonly debug: string;
  /** How long it is collected; undefined for what is a moment's state. */
  readonly seconds?: string;
}

const known: Readonly<Record<string, Profile>> = {
  block: { path: 'block', debug: '0' },
  goroutines: { path: 'goroutine', debug: '2' },
  heap: { path: 'heap', debug: '0' },
  profile: { path: 'profile', debug: '0', seconds: '30s' },
  threadcreate: { path: 'threadcreate', debug: '0' },
  trace: { path: 'trace', debug: '0', seconds: '5s' },
};

/** Go's own profiles, by name. Our daemon runs no Go and has none: what is asked for is a socket of a daemon that does. */
export const profiles: Readonly<Record<string, Command>> = Object.fromEntries(
  Object.entries(known).map(([name, profile]) => [name, profileCommand(name, profile)]),
);

function profileCommand(name: string, { path, debug, seconds }: Profile): Command {
  const flags: Flags = {
    debug: { kind: 'one', fallback: debug, help: 'Debug pprof args' },
    ...(seconds === undefined
      ? {}
      : { seconds: { kind: 'one', short: 's', fallback: seconds, help: 'Duration for collection (seconds)' } }),
  };
  return command({
    usage: '[flags]',
    description:
      "Asks the debug socket of a daemon that is written in Go, such as containerd. Hakobune's daemon has no such profiles.",
    flags,
    takes: [0, 0],
    alone: true,
    examples: [[`pprof -d /run/containerd/debug.sock ${name} >${name}.out`, "containerd's"]],
    async run({ group }, { flags: given }) {
      const socket = String(group['debug-socket']);
      const milliseconds = duration('seconds', given['seconds']);
      const query = new URLSearchParams({
        ...(milliseconds === undefined ? {} : { seconds: String(milliseconds / 1000) }),
        debug: String(wholeNumber('debug', given['debug']) ?? 0),
      });
      await stat(socket).catch((error: unknown) => {
        const why =
          "no such socket; only daemons written in Go have one, and hakod is none: --debug-socket names containerd's";
        throw new HakoError('unavailable', `cannot access debug socket "${socket}": ${why}`, error);
      });
      const reply = await request({ path: socket }, 'GET', `/debug/pprof/${path}?${query.toString()}`, {});
      if (reply.status !== 200) throw replyError(reply.status, (await whole(reply.body)).toString());
      for await (const piece of reply.body) await pour(1, piece);
    },
  });
}

async function whole(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}
