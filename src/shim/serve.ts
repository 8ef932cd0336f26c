import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { messageOf } from '#base/errors.ts';
import { Sandbox } from '#proto/gen/containerd/runtime/sandbox/v1/sandbox_pb.ts';
import { Task as TaskV2 } from '#proto/gen/containerd/task/v2/task_pb.ts';
import { Task as TaskV3 } from '#proto/gen/containerd/task/v3/task_pb.ts';
import { setCloexec } from '#sys/fd.ts';
import { libc } from '#sys/libc.ts';
import { TtrpcServer, type TtrpcMethods } from '#wire/ttrpc-server.ts';
import type { ReapedProcess } from '#sys/exits.ts';
import { shimFds } from './keeper.ts';
import { KeeperLink } from './link.ts';
import { stderrLogger } from './log.ts';
import { Pump } from './pump/pump.ts';
import { recover } from './recover.ts';
import { sandboxService } from './sandbox-service.ts';
import { Sandboxes } from './sandboxes.ts';
import { taskService } from './service.ts';
import { Tasks } from './tasks.ts';

const logger = stderrLogger('shim');
const exitNow = libc('void _exit(int status)');

/** How long a shim that nobody needs stays, and one that nobody has come to yet, in milliseconds. */
const grace = 2000;
const firstGrace = 10_000;

/** Ends without waiting for the pump, whose thread is inside the kernel: the next shim takes everything up. */
function die(why: string, error: unknown): never {
  logger.log('fatal', why, { error: messageOf(error), stack: error instanceof Error ? error.stack : undefined });
  exitNow(1);
  throw error;
}

/** Runs the shim, as the keeper starts it, for the daemon whose state directory this is. */
export async function serve(state: string): Promise<void> {
  process.umask(0o022);
  process.on('uncaughtException', (error) => die('uncaught exception', error));
  process.on('unhandledRejection', (error) => die('unhandled rejection', error));
  // Only the keeper's going, or nobody's need, ends a shim.
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
  setCloexec(shimFds.listener);
  setCloexec(shimFds.link);
  const directory = path.join(state, 'shim');
  mkdirSync(directory, { recursive: true, mode: 0o700 });

  const link = new KeeperLink();
  const early: ReapedProcess[] = [];
  link.onExit = (exit) => void early.push(exit);
  link.onLost = () => die('the keeper is gone', new Error('its line was closed'));
  const pump = new Pump(logger, (error) => die('pump failed', error));
  const tasks = new Tasks({ pump, link, directory, logger });
  const inherited = await link.inherited;
  await recover({
    tasks,
    pump,
    logger,
    bundles: [path.join(state, 'tasks'), path.join(state, 'sandboxes')],
    inherited,
    exitsFile: path.join(directory, 'exits'),
  });
  const sandboxes = new Sandboxes({ tasks, logger });
  sandboxes.recover(path.join(state, 'sandboxes'));
  link.onExit = (exit) => tasks.reaped(exit);
  for (const exit of early) tasks.reaped(exit);

  const server = new TtrpcServer(logger);
  const idle = idleWatch({ tasks, pump, link, server });
  const runtimeRoot = path.join(state, 'runc');
  const methods = taskService(tasks, { runtimeRoot, version: '3', shutdown: idle.look });
  server.add(TaskV2, methods);
  // Equal in all but the name of their messages, which is in no byte that is sent.
  server.add(TaskV3, methods as unknown as TtrpcMethods<typeof TaskV3>);
  server.add(Sandbox, sandboxService(sandboxes, runtimeRoot));
  await server.listen({ fd: shimFds.listener });
  link.ready();
  logger.log('info', 'shim serves', { pid: process.pid, tasks: tasks.size });
}

/** Ends the shim, and by it the keeper, when no task is left and no daemon is connected. */
function idleWatch(parts: { tasks: Tasks; pump: Pump; link: KeeperLink; server: TtrpcServer }): { look: () => void } {
  const { tasks, pump, link, server } = parts;
  let connections = 0;
  let timer: NodeJS.Timeout | undefined;
  const needed = (): boolean => tasks.size > 0 || connections > 0;
  const leave = async (): Promise<void> => {
    if (needed()) return;
    if (pump.busy) return look();
    server.close();
    await link.bye();
    await pump.stop();
    process.exit(0);
  };
  const arm = (delay: number): void => {
    clearTimeout(timer);
    timer = needed() ? undefined : setTimeout(() => void leave(), delay);
  };
  const look = (): void => arm(grace);
  tasks.onEmpty = look;
  server.onConnections = (count) => {
    connections = count;
    look();
  };
  arm(firstGrace);
  return { look };
}
