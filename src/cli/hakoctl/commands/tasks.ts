import { HakoError, messageOf } from '#base/errors.ts';
import { killTask } from '#client/containerd/new-task.ts';
import { processDetails } from '#client/containerd/process-details.ts';
import { removeProcess, removeTask, statusWord } from '#client/containerd/removing.ts';
import { tasks } from '#client/containerd/tasks.ts';
import { print } from '../../output.ts';
import { command, type Context } from '../command.ts';
import { printTable } from '../listing.ts';
import { each } from '../seek.ts';
import { wide, type TabStops } from '../tabs.ts';
import { containerName, findContainer, findProcess } from './container-names.ts';

export const list = command({
  usage: '[flags]',
  flags: {
    quiet: { kind: 'on', short: 'q', help: 'Print only the task id' },
    json: { kind: 'on', help: 'Print JSON' },
  },
  examples: [['tasks list --json', 'with exit codes and streams, for a program']],
  async run({ door }, { flags }) {
    const found = await tasks(door).list({});
    printTable(
      {
        rows: found.tasks,
        titles: ['TASK', 'PID', 'STATUS', ''],
        cells: ({ id, pid, status }) => [id, String(pid), statusWord(status)],
        stops: wide,
        name: ({ id }) => id,
        json: ({ id, pid, status, exitStatus, stdin, stdout, stderr, terminal }) => ({
          ...{ id, pid, status: statusWord(status), exitStatus, stdin, stdout, stderr, terminal },
        }),
      },
      flags,
    );
  },
});

const loose: TabStops = { least: 1, tab: 8, padding: 4, pad: ' ' };

export const ps = command({
  usage: 'CONTAINER',
  flags: { json: { kind: 'on', help: 'Print JSON' } },
  examples: [['tasks ps web', 'process ids as this machine has them']],
  async run(context, { flags, rest }) {
    const id = containerName(rest);
    await findContainer(context, id);
    await findProcess(context, id);
    const { processes } = await tasks(context.door).listPids({ containerId: id });
    printTable(
      {
        rows: processes,
        titles: ['PID', 'INFO'],
        cells: ({ pid, info }) => [String(pid), detailsText(processDetails(info))],
        stops: loose,
        name: ({ pid }) => String(pid),
        json: ({ pid, info }) => ({ pid, ...processDetails(info) }),
      },
      flags,
    );
  },
});

const detailsText = (details: { readonly execId: string } | undefined): string =>
  details === undefined ? '-' : `exec_id:${JSON.stringify(details.execId)}`;

export const pause = command({
  usage: 'CONTAINER',
  flags: {},
  examples: [['tasks pause web', 'until: hakoctl tasks resume web']],
  run: (context, { rest }) => withTask(context, rest, (id) => tasks(context.door).pause({ containerId: id })),
});

export const resume = command({
  usage: 'CONTAINER',
  flags: {},
  examples: [['tasks resume web', 'after a pause']],
  run: (context, { rest }) => withTask(context, rest, (id) => tasks(context.door).resume({ containerId: id })),
});

async function withTask(
  context: Context,
  rest: readonly string[],
  action: (id: string) => Promise<unknown>,
): Promise<void> {
  const id = containerName(rest);
  await findContainer(context, id);
  await findProcess(context, id);
  await action(id);
}

export const remove = command({
  usage: '[flags] CONTAINER [CONTAINER, ...]',
  flags: {
    force: { kind: 'on', short: 'f', help: 'Force delete task process' },
    'exec-id': { kind: 'one', help: 'Process ID to kill' },
  },
  examples: [
    ['tasks delete web', 'a task that has stopped'],
    ['tasks delete -f web', 'killed first'],
  ],
  async run(context, { flags, rest }) {
    const execId = flags['exec-id'] ?? '';
    if (execId !== '') return removeOne(context, containerName(rest), execId, flags.force);
    containerName(rest);
    return each(rest, async (id) => {
      const code = await removeOne(context, id, '', flags.force);
      if (code !== 0) print(2, `hakoctl: task ${id} exit with non-zero exit code ${code}\n`);
    });
  },
});

/** Resolves with the exit code of the process. */
async function removeOne(context: Context, id: string, execId: string, force: boolean): Promise<number> {
  const { door } = context;
  await findContainer(context, id);
  const { io, status } = await findProcess(context, id, execId);
  if (force) await killTask(door, id, execId);
  else if (status !== 'STOPPED' && status !== 'UNKNOWN')
    throw new HakoError(
      'failed-precondition',
      `task "${id}" must be stopped before deletion: it is ${status.toLowerCase()}: hakoctl tasks delete -f kills it first`,
    );
  try {
    return await (execId === '' ? removeTask(door, id, io) : removeProcess(door, { containerId: id, execId }, io));
  } catch (error) {
    throw error instanceof HakoError
      ? new HakoError(error.code, `unable to delete "${id}": ${messageOf(error)}`)
      : error;
  }
}
