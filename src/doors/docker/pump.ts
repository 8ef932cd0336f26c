import { defaultDetachKeys, DetachWatch, parseDetachKeys } from '#base/detach-keys.ts';
import { abortable } from '#base/locks.ts';
import type { Attachment } from '#services/engine/types.ts';
import { frame } from '#wire/docker-stream.ts';
import type { Connection, Exchange } from './exchange.ts';
import { isBefore } from './router.ts';

/** What a taken-over connection carries, by its media type (told since API 1.42). */
export function streamType(exchange: Exchange, tty: boolean): string {
  const multiplexed = !tty && !isBefore(exchange.version, 1, 42);
  return `application/vnd.docker.${multiplexed ? 'multiplexed' : 'raw'}-stream`;
}

/** Empty is the default sequence. Checked before the connection is taken over, so that the error can be told. */
export const detachKeys = (text: string): Uint8Array => parseDetachKeys(text === '' ? defaultDetachKeys : text);

export interface PumpOptions {
  readonly stdin: boolean;
  readonly keys: Uint8Array;
}

/**
 * Carries a container's streams over a connection until the process has ended, the client detached or left, or the call
 * was ended. The connection is closed in order afterwards; the attachment stays the caller's to dispose.
 */
export async function pump(
  connection: Connection,
  attachment: Attachment,
  options: PumpOptions,
  signal: AbortSignal,
): Promise<void> {
  const { promise: detached, resolve: detach } = Promise.withResolvers<void>();
  const input = carryInput(connection, attachment, options, detach);
  // A client that leaves in the middle is no error of anyone's; whoever waits for the connection sees it closed.
  input.catch(() => {});
  const output = carryOutput(connection, attachment);
  output.catch(() => {});
  try {
    await abortable(Promise.race([output, detached]), signal);
  } finally {
    await connection.finish();
  }
}

async function carryOutput(connection: Connection, attachment: Attachment): Promise<void> {
  for await (const { stream, data } of attachment.output) {
    await connection.write(attachment.tty ? data : frame(stream, data));
  }
}

async function carryInput(
  connection: Connection,
  attachment: Attachment,
  options: PumpOptions,
  detach: () => void,
): Promise<void> {
  const watch = attachment.tty ? new DetachWatch(options.keys) : undefined;
  let wanted = options.stdin;
  for await (const chunk of connection.input) {
    // Reading goes on even when nobody wants it: the end of input must be seen, and unread bytes would reset the connection.
    if (!wanted) continue;
    const { pass, detached } = watch?.push(chunk) ?? { pass: chunk, detached: false };
    // A process that closed its standard input, or ended, does not make its output less wanted.
    if (pass.length > 0)
      wanted = await attachment.write(pass).then(
        () => true,
        () => false,
      );
    if (detached) return detach();
  }
  // The end of a connection's input is no key press: a terminal has none, Docker leaves it open too.
  if (wanted && connection.inputEnds && !attachment.tty) await attachment.end();
}
