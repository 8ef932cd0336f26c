import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { Call } from '#base/call.ts';
import { codeless, codeOf, invalid, messageOf, unimplemented } from '#base/errors.ts';
import { parseFilters, type Filter } from '#base/filters.ts';
import { now } from '#base/moment.ts';
import type { Any } from '#core/any.ts';
import type { Exit, Stdio, TaskStatus } from '#core/runtime.ts';
import {
  CheckpointOptionsSchema,
  OptionsSchema,
  ProcessDetailsSchema,
} from '#proto/gen/containerd/runc/v1/options_pb.ts';
import { Tasks as TasksApi, type CreateTaskRequest } from '#proto/gen/containerd/services/tasks/v1/tasks_pb.ts';
import type { MetricSchema } from '#proto/gen/containerd/types/metrics_pb.ts';
import { Status, type ProcessSchema } from '#proto/gen/containerd/types/task/task_pb.ts';
import type { Checkpoints } from '#services/checkpoints.ts';
import type { Containers } from '#services/containers.ts';
import type { NewTask, TaskProcess, Tasks } from '#services/tasks.ts';
import { grpcService, type GrpcService, type Methods } from '#wire/grpc-service.ts';
import { callOf } from './call.ts';
import { fromAny, fromMount, needed, never, optionalAny, toAny, toDescriptor, toTimestamp } from './convert.ts';

const statuses = {
  unknown: Status.UNKNOWN,
  created: Status.CREATED,
  running: Status.RUNNING,
  stopped: Status.STOPPED,
  paused: Status.PAUSED,
  pausing: Status.PAUSING,
} as const satisfies Record<TaskStatus, Status>;

type TaskMethods = Methods<typeof TasksApi>;
type LifeMethod = 'create' | 'start' | 'exec' | 'delete' | 'deleteProcess' | 'get' | 'list' | 'wait';

export const tasksService = (tasks: Tasks, checkpoints: Checkpoints, containers: Containers): GrpcService =>
  grpcService(TasksApi, {
    ...lifeOf(tasks),
    ...controlOf(tasks),
    checkpoint: async ({ containerId, options }, call) => {
      tasks.expect(callOf(call), containerId);
      const { spec } = containers.get(callOf(call), containerId);
      const descriptors = await asOfShims(
        checkpoints.checkpoint(callOf(call), {
          id: containerId,
          imagePath: checkpointPath(optionalAny(options)),
          spec: spec === undefined ? new Uint8Array() : toBinary(AnySchema, create(AnySchema, toAny(spec))),
          ...(options === undefined ? {} : { options: fromAny(options) }),
        }),
      );
      return { descriptors: descriptors.map(toDescriptor) };
    },
  });

/** Where a client wants the files of a checkpoint. */
function checkpointPath(options: Any | undefined): string {
  if (options === undefined) return '';
  if (options.typeUrl.endsWith(CheckpointOptionsSchema.typeName))
    return fromBinary(CheckpointOptionsSchema, options.value).imagePath;
  throw codeless('invalid task checkpoint option for io.containerd.runc.v2');
}

/** How processes come, are looked at, and go. */
const lifeOf = (tasks: Tasks): Pick<TaskMethods, LifeMethod> => ({
  create: async (request, call) => {
    const { pid } = await asOfShims(tasks.create(callOf(call), newTask(request)));
    return { containerId: request.containerId, pid };
  },
  start: async ({ containerId, execId }, call) => {
    const { pid } = await asOfShims(tasks.start(callOf(call), containerId, execId));
    return { pid };
  },
  delete: async ({ containerId }, call) => toExit(await tasks.delete(callOf(call), containerId, '')),
  deleteProcess: async ({ containerId, execId }, call) => {
    tasks.expect(callOf(call), containerId);
    if (execId === '') throw invalid('exec id cannot be empty');
    return { id: execId, ...toExit(await tasks.delete(callOf(call), containerId, execId)) };
  },
  get: async ({ containerId, execId }, call) => ({
    process: toProcess(await tasks.get(callOf(call), containerId, execId)),
  }),
  list: async (_request, call) => ({ tasks: (await tasks.list(callOf(call))).map(toProcess) }),
  exec: async (request, call) => {
    tasks.expect(callOf(call), request.containerId);
    if (request.execId === '') throw invalid('exec id cannot be empty');
    const spec = fromAny(needed(request.spec, 'Spec')).value;
    await asOfShims(tasks.exec(callOf(call), request.containerId, request.execId, spec, stdioOf(request)));
    return {};
  },
  wait: async ({ containerId, execId }, call) => {
    call.lasts();
    const { status, at } = await tasks.wait(callOf(call), containerId, execId);
    return { exitStatus: status, exitedAt: toTimestamp(at) };
  },
});

/** What is done to processes that run. */
const controlOf = (tasks: Tasks): Omit<TaskMethods, LifeMethod | 'checkpoint'> => ({
  kill: async ({ containerId, execId, signal, all }, call) => {
    await tasks.kill(callOf(call), containerId, execId, { signal, all });
    return {};
  },
  resizePty: async ({ containerId, execId, width, height }, call) => {
    await tasks.resize(callOf(call), containerId, execId, { width, height });
    return {};
  },
  closeIO: async ({ containerId, execId, stdin }, call) => {
    tasks.expect(callOf(call), containerId);
    if (stdin) await tasks.closeStdin(callOf(call), containerId, execId);
    return {};
  },
  pause: async ({ containerId }, call) => {
    await asOfShims(tasks.pause(callOf(call), containerId));
    return {};
  },
  resume: async ({ containerId }, call) => {
    await asOfShims(tasks.resume(callOf(call), containerId));
    return {};
  },
  listPids: async ({ containerId }, call) => ({
    processes: (await tasks.pids(callOf(call), containerId)).map(toProcessInfo),
  }),
  update: async ({ containerId, resources }, call) => {
    tasks.expect(callOf(call), containerId);
    await tasks.update(callOf(call), containerId, fromAny(needed(resources, 'Resources')));
    return {};
  },
  metrics: async (request, call) => ({ metrics: await metrics(tasks, callOf(call), request.filters) }),
});

/** What shims and OCI runtimes refuse, which containerd hands on without a class of its own. */
const shimsWords = /^(failed to create shim task: |OCI runtime |cannot (pause|resume|exec in|checkpoint) )/;

async function asOfShims<T>(body: Promise<T>): Promise<T> {
  try {
    return await body;
  } catch (error) {
    if (!shimsWords.test(messageOf(error)) || codeOf(error) === 'unavailable') throw error;
    throw codeless(messageOf(error));
  }
}

function newTask(request: CreateTaskRequest): NewTask {
  if (request.checkpoint !== undefined) throw unimplemented('creating a task from a checkpoint');
  if (request.runtimePath !== '') throw unimplemented('choosing the runtime for one task (runtime_path)');
  const options = optionalAny(request.options);
  return {
    id: request.containerId,
    rootfs: request.rootfs.map(fromMount),
    stdio: stdioOf(request),
    ...(options !== undefined && { options }),
    taskApiAddress: request.taskApiAddress || addressIn(options),
  };
}

/** Clients of 2.0 to 2.2 have it among runc's options. */
function addressIn(options: Any | undefined): string {
  if (options?.typeUrl.endsWith(OptionsSchema.typeName) !== true) return '';
  try {
    return fromBinary(OptionsSchema, options.value).taskApiAddress;
  } catch {
    // Whoever reads all of them says what is wrong, after what comes before that.
    return '';
  }
}

const stdioOf = ({ stdin, stdout, stderr, terminal }: Stdio): Stdio => ({ stdin, stdout, stderr, terminal });

const toExit = ({ pid, status, at }: Exit) => ({ pid, exitStatus: status, exitedAt: toTimestamp(at) });

const toProcess = (process: TaskProcess): MessageInitShape<typeof ProcessSchema> => ({
  containerId: process.containerId,
  // As containerd has it: the id of the container for its first process.
  id: process.execId === '' ? process.containerId : process.execId,
  pid: process.pid,
  status: statuses[process.status],
  ...stdioOf(process.stdio),
  ...(process.exit === undefined
    ? { exitedAt: never }
    : { exitStatus: process.exit.status, exitedAt: toTimestamp(process.exit.at) }),
});

/** The shim's own message tells `ctr tasks ps` which process is an exec's. */
const toProcessInfo = ({ pid, execId = '' }: { pid: number; execId?: string }) => ({
  pid,
  ...(execId !== '' && {
    info: toAny({
      typeUrl: ProcessDetailsSchema.typeName,
      value: toBinary(ProcessDetailsSchema, create(ProcessDetailsSchema, { execId })),
    }),
  }),
});

/** What the tasks of a namespace use. One that ends meanwhile, or whose shim does not answer, is left out. */
async function metrics(
  tasks: Tasks,
  call: Call,
  filters: readonly string[],
): Promise<MessageInitShape<typeof MetricSchema>[]> {
  const match = metricsFilter(filters);
  const wanted = (await tasks.list(call)).filter((task) =>
    match(([first]) => (first === 'id' ? task.containerId : first === 'namespace' ? call.namespace : undefined)),
  );
  const measured = await Promise.all(wanted.map((task) => metric(tasks, call, task.containerId)));
  return measured.filter((one) => one !== undefined);
}

function metricsFilter(filters: readonly string[]): Filter {
  try {
    return parseFilters(filters);
  } catch (error) {
    throw codeless(messageOf(error));
  }
}

async function metric(
  tasks: Tasks,
  call: Call,
  id: string,
): Promise<MessageInitShape<typeof MetricSchema> | undefined> {
  const timestamp = toTimestamp(now());
  try {
    return { timestamp, id, data: toAny(await tasks.stats(call, id)) };
  } catch (error) {
    if (call.signal.aborted || codeOf(error) === 'unimplemented') throw error;
    return undefined;
  }
}
