import { rename, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Container } from '#client/containerd/containers.ts';
import type { Image } from '#client/containerd/images.ts';
import { createTask, killTask } from '#client/containerd/new-task.ts';
import { removeTask } from '#client/containerd/removing.ts';
import { tasks } from '#client/containerd/tasks.ts';
import type { Containerd } from '#client/containerd.ts';
import { ProcessIo } from '#client/process-io.ts';
import { foreground, ignoreMissing, newIo, silently } from './foreground.ts';
import type { Interrupts } from './interrupts.ts';

export interface StartRequest {
  readonly flags: {
    readonly 'null-io': boolean;
    readonly 'log-uri': string | undefined;
    readonly 'fifo-dir': string | undefined;
    readonly 'pid-file': string | undefined;
    readonly 'no-pivot': boolean;
    readonly detach: boolean;
  };
  readonly terminal: boolean;
  readonly interrupts: Interrupts;
  /** Whether the container gets a network by CNI plugins. */
  readonly network?: boolean;
  readonly checkpoint?: Image | undefined;
}

/**
 * Creates and starts a container's task. In the foreground it stays until the task has ended, and deletes it; whatever
 * goes wrong, none is left. Resolves with the exit code.
 */
export async function startTask(door: Containerd, container: Container, request: StartRequest): Promise<number> {
  const { flags, terminal, interrupts, network = false, checkpoint } = request;
  const { id: containerId } = container;
  await using undo = new AsyncDisposableStack();
  const paths = await newIo(
    {
      id: containerId,
      terminal,
      nullIo: flags['null-io'],
      logUri: flags['log-uri'],
      fifoDir: flags['fifo-dir'],
    },
    undo,
  );
  const io = undo.use(new ProcessIo(paths));
  interrupts.check();
  const pid = await createTask(door, container, { io: paths, noPivot: flags['no-pivot'], checkpoint });
  let running = true;
  undo.defer(async () => {
    if (running) await killTask(door, containerId);
    await removeTask(door, containerId, paths).catch(ignoreMissing);
  });
  if (flags['pid-file'] !== undefined) await writePid(flags['pid-file'], pid);
  if (network) {
    const { joinNetwork } = await import('#client/cni.ts');
    undo.use(await joinNetwork({ id: `${door.namespace}-${containerId}`, netns: `/proc/${pid}/ns/net` }));
  }
  interrupts.check();
  const start = (): Promise<unknown> => tasks(door).start({ containerId });
  if (flags.detach) {
    await start();
    undo.move();
    return 0;
  }
  const streams = paths.stdin !== '' || paths.stdout.startsWith('/');
  const session = { containerId, execId: '', interrupts, start };
  const code = streams ? await foreground(door, { ...session, io }) : await silently(door, session);
  running = false;
  return code;
}

/** Whoever watches the file never sees half a number. */
async function writePid(file: string, pid: number): Promise<void> {
  const path = resolve(file);
  const unfinished = `${path}.${process.pid}`;
  await writeFile(unfinished, String(pid), { mode: 0o666 });
  await rename(unfinished, path);
}
