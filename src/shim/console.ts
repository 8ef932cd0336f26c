import { rmSync } from 'node:fs';
import path from 'node:path';
import { HakoError } from '#base/errors.ts';
import { closeFd, setNonblocking } from '#sys/fd.ts';
import { acceptNow, listenUnix, receiveDescriptor } from '#sys/socket.ts';

let count = 0;

/** The socket through which an OCI runtime hands over the master of a new terminal (`--console-socket`). */
export class ConsoleSocket {
  readonly path: string;
  readonly #fd: number;

  /** A short path in a directory of the shim's: sockets allow 107 bytes, and bundles may be longer. */
  constructor(directory: string) {
    this.path = path.join(directory, `console-${process.pid}-${count++}`);
    rmSync(this.path, { force: true });
    this.#fd = listenUnix(this.path);
  }

  /** The master, non-blocking. The runtime sends it before it ends, so it is there or will never be. */
  receive(): number {
    const connection = acceptNow(this.#fd);
    const master = connection === undefined ? undefined : receiveDescriptor(connection);
    if (connection !== undefined) closeFd(connection);
    if (master === undefined)
      throw new HakoError('internal', 'the OCI runtime sent no terminal; does config.json ask for one?');
    setNonblocking(master);
    return master;
  }

  close(): void {
    closeFd(this.#fd);
    rmSync(this.path, { force: true });
  }
}
