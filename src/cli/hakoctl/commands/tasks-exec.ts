import { invalid } from '#base/errors.ts';
import type { Container } from '#client/containerd/containers.ts';
import { killTask } from '#client/containerd/new-task.ts';
import { removeProcess } from '#client/containerd/removing.ts';
import { snapshots } from '#client/containerd/snapshots.ts';
import { tasks } from '#client/containerd/tasks.ts';
import { ProcessIo } from '#client/process-io.ts';
import { packProcess, unpackSpec } from '#client/spec/spec-json.ts';
import type { Process } from '#client/spec/types.ts';
import { resolveUser } from '#client/spec/users.ts';
import { UsageFailure } from '../../failure.ts';
import type { Parsed } from '../../flags.ts';
import { command, type Context } from '../command.ts';
import { containerName, findContainer, findProcess } from './container-names.ts';
import { foreground, ignoreMissing, newIo, silently } from './foreground.ts';
import { Interrupts } from './interrupts.ts';

const flags = {
  cwd: { kind: 'one', help: 'Working directory of the new process' },
  tty: { kind: 'on', short: 't', help: 'Allocate a TTY for the container' },
  detach: { kind: 'on', short: 'd', help: 'Detach from the task after it has started execution' },
  'exec-id': { kind: 'one', help: 'Exec specific id for the process' },
  'fifo-dir': { kind: 'one', help: 'Directory used for storing IO FIFOs' },
  'log-uri': { kind: 'one', help: 'Log uri for custom shim logging' },
  user: { kind: 'one', help: 'User id or name' },
} as const;

export const exec = command({
  usage: '[flags] CONTAINER CMD [ARG...]',
  flags,
  examples: [['tasks exec -t --exec-id look web sh', 'a shell beside the task']],
  async run(context, { flags: values, rest }: Parsed<typeof flags>) {
    const execId = values['exec-id'] ?? '';
    if (execId === '') throw new UsageFailure('Required flag "exec-id" not set', 1);
    const containerId = containerName(rest);
    if (values.tty && values['log-uri'] !== undefined) throw invalid("can't use log-uri with tty");
    if (values['log-uri'] !== undefined && values['fifo-dir'] !== undefined)
      throw invalid("can't use log-uri with fifo-dir");
    await using undo = new AsyncDisposableStack();
    const interrupts = undo.use(new Interrupts());
    const container = await findContainer(context, containerId);
    const spec = packProcess(await processOf(context, container, values, rest.slice(1)));
    await findProcess(context, containerId);
    const request = { id: execId, terminal: values.tty, logUri: values['log-uri'], fifoDir: values['fifo-dir'] };
    const paths = await newIo(request, undo);
    const io = undo.use(new ProcessIo(paths));
    const { door } = context;
    await tasks(door).exec({ containerId, execId, ...paths, spec });
    let running = true;
    undo.defer(async () => {
      if (running) await killTask(door, containerId, execId);
      await removeProcess(door, { containerId, execId }, paths).catch(ignoreMissing);
    });
    const start = (): Promise<unknown> => tasks(door).start({ containerId, execId });
    if (values.detach) {
      await start();
      undo.move();
      return 0;
    }
    const session = { containerId, execId, interrupts, start };
    const code = paths.stdin === '' ? await silently(door, session) : await foreground(door, { ...session, io });
    running = false;
    return code;
  },
});

/** The container's own process, with what is to be different. */
async function processOf(
  context: Context,
  container: Container,
  values: Parsed<typeof flags>['flags'],
  args: readonly string[],
): Promise<Process> {
  const spec = unpackSpec(container.spec, container.id);
  const own = spec.process ?? { user: { uid: 0, gid: 0 }, cwd: '/' };
  const { terminal: _, ...others } = own;
  const user =
    values.user === undefined || values.user === '' ? own.user : await userOf(context, container, values.user);
  const cwd = values.cwd === undefined || values.cwd === '' ? own.cwd : values.cwd;
  return { ...others, ...(values.tty ? { terminal: true } : {}), user, args: [...args], cwd };
}

async function userOf(context: Context, container: Container, text: string): Promise<Process['user']> {
  const { readUserFiles } = await import('#client/containerd/rootfs-users.ts');
  const { snapshotter, snapshotKey: key, spec, id } = container;
  const root =
    key === ''
      ? (unpackSpec(spec, id).root?.path ?? '/')
      : (await snapshots(context.door).mounts({ snapshotter, key })).mounts;
  return resolveUser(text, readUserFiles(root));
}
