import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema, timestampFromMs } from '@bufbuild/protobuf/wkt';
import path from 'node:path';
import { HakoError, invalid, unimplemented } from '#base/errors.ts';
import { CheckpointOptionsSchema, OptionsSchema } from '#proto/gen/containerd/runc/v1/options_pb.ts';
import { ProcessDetailsSchema } from '#proto/gen/containerd/runc/v1/options_pb.ts';
import type { StateResponseSchema, Task as TaskV2 } from '#proto/gen/containerd/task/v2/task_pb.ts';
import { Status } from '#proto/gen/containerd/types/task/task_pb.ts';
import type { TtrpcCall, TtrpcMethods } from '#wire/ttrpc-server.ts';
import { packAny } from './any.ts';
import { needsHiddenUnified, type RuntimeChoice } from './oci-runtime.ts';
import type { Task, TaskProcess } from './task.ts';
import type { Tasks } from './tasks.ts';

export interface ServiceOptions {
  /** Where OCI runtimes keep their state, a directory for each namespace. */
  readonly runtimeRoot: string;
  readonly version: string;
  /** Called by Shutdown when no task is left. */
  readonly shutdown: () => void;
}

/** The namespace that a call is about. */
export function namespaceOf(call: TtrpcCall): string {
  const namespace = call.metadata.get('containerd-namespace-ttrpc');
  if (namespace === undefined || namespace === '') throw new HakoError('failed-precondition', 'namespace is required');
  return namespace;
}

/** Ids become names of files and cgroups. */
export function checkId(kind: string, id: string): void {
  if (!/^[A-Za-z0-9]+([._-][A-Za-z0-9]+|_|-)*$/.test(id) || id.length > 128) {
    throw invalid(`${kind} "${id}": is not letters, digits, ".", "_" and "-", starting with a letter or digit`);
  }
}

/** Reads containerd.runc.v1.Options, or takes the defaults when there are none. */
export function runtimeOf(
  options: { typeUrl: string; value: Uint8Array } | undefined,
  runtimeRoot: string,
  namespace: string,
): RuntimeChoice & { owner: { uid: number; gid: number } } {
  const given =
    options !== undefined && options.typeUrl.endsWith(OptionsSchema.typeName) ? options.value : new Uint8Array();
  const parsed = fromBinary(OptionsSchema, given);
  const binary = parsed.binaryName === '' ? 'runc' : parsed.binaryName;
  return {
    binary,
    root: path.join(parsed.root === '' ? runtimeRoot : parsed.root, namespace),
    systemdCgroup: parsed.systemdCgroup,
    noPivotRoot: parsed.noPivotRoot,
    noNewKeyring: parsed.noNewKeyring,
    hideUnified: needsHiddenUnified(binary),
    owner: { uid: parsed.ioUid, gid: parsed.ioGid },
  };
}

const statusOf = (task: Task, { record }: TaskProcess): Status => {
  if (record.status === 'stopped') return Status.STOPPED;
  if (task.record.paused) return Status.PAUSED;
  return record.status === 'running' ? Status.RUNNING : Status.CREATED;
};

function stateOf(task: Task, process: TaskProcess): MessageInitShape<typeof StateResponseSchema> {
  const { record } = process;
  return {
    id: task.record.id,
    execId: record.execId,
    bundle: task.record.bundle,
    pid: record.pid,
    status: statusOf(task, process),
    ...record.stdio,
    ...(record.exit === undefined ? {} : { exitStatus: record.exit.status, exitedAt: timestampFromMs(record.exit.at) }),
  };
}

const exitFields = (exit: { status: number; at: number }) => ({
  exitStatus: exit.status,
  exitedAt: timestampFromMs(exit.at),
});

/** containerd's Task service, versions 2 and 3 alike: their messages differ only by name. */
export function taskService(tasks: Tasks, options: ServiceOptions): TtrpcMethods<typeof TaskV2> {
  const find = (call: TtrpcCall, id: string): Task => tasks.get(namespaceOf(call), id);
  const alone = <T>(task: Task, body: () => Promise<T>): Promise<T> =>
    tasks.alone(task.record.namespace, task.record.id, body);
  return {
    state: (request, call) => {
      const task = find(call, request.id);
      return stateOf(task, task.process(request.execId));
    },
    create: async (request, call) => {
      const namespace = namespaceOf(call);
      checkId('task', request.id);
      if (request.checkpoint !== '') throw unimplemented('restoring a checkpoint');
      const { owner, ...runtime } = runtimeOf(request.options, options.runtimeRoot, namespace);
      const { id, bundle, rootfs, stdin, stdout, stderr, terminal } = request;
      const create = (): Promise<number> =>
        tasks.create({
          namespace,
          id,
          bundle,
          rootfs,
          stdio: { stdin, stdout, stderr, terminal },
          runtime,
          ...(owner.uid === 0 && owner.gid === 0 ? {} : { owner }),
        });
      return { pid: await tasks.alone(namespace, id, create) };
    },
    start: async (request, call) => {
      const task = find(call, request.id);
      return { pid: await alone(task, () => (request.execId === '' ? task.start() : task.startExec(request.execId))) };
    },
    delete: async (request, call) => {
      const task = find(call, request.id);
      const exit = await alone(task, () =>
        request.execId === '' ? tasks.delete(task) : task.deleteExec(request.execId),
      );
      return { pid: exit.pid, ...exitFields(exit) };
    },
    pids: (request, call) => {
      const task = find(call, request.id);
      const execs = new Map([...task.execs.values()].map(({ record }) => [record.pid, record.execId]));
      const processes = task.pids().map((pid) => {
        const execId = execs.get(pid);
        return {
          pid,
          ...(execId === undefined ? {} : { info: create(AnySchema, packAny(ProcessDetailsSchema, { execId })) }),
        };
      });
      return { processes };
    },
    pause: async (request, call) => {
      const task = find(call, request.id);
      await alone(task, () => task.pause());
      return {};
    },
    resume: async (request, call) => {
      const task = find(call, request.id);
      await alone(task, () => task.resume());
      return {};
    },
    checkpoint: async (request, call) => {
      const task = find(call, request.id);
      const options = fromBinary(CheckpointOptionsSchema, request.options?.value ?? new Uint8Array());
      const { exit, openTcp, externalUnixSockets, terminal, fileLocks, emptyNamespaces, workPath } = options;
      const flags = { exit, openTcp, externalUnixSockets, terminal, fileLocks, emptyNamespaces };
      await alone(task, () => task.checkpoint({ ...flags, workPath, imagePath: request.path }));
      return {};
    },
    kill: async (request, call) => {
      await find(call, request.id).kill(request.execId, request.signal, request.all);
      return {};
    },
    exec: async (request, call) => {
      const task = find(call, request.id);
      checkId('process', request.execId);
      const { execId, stdin, stdout, stderr, terminal, spec } = request;
      if (spec === undefined) throw invalid(`process "${request.id}/${execId}": has no spec`);
      await alone(task, async () => task.addExec(execId, spec.value, { stdin, stdout, stderr, terminal }));
      return {};
    },
    resizePty: (request, call) => {
      const { width, height } = request;
      find(call, request.id).process(request.execId).stdio.resize({ width, height });
      return {};
    },
    closeIO: async (request, call) => {
      if (request.stdin) await find(call, request.id).process(request.execId).stdio.closeStdin();
      return {};
    },
    update: async (request, call) => {
      const task = find(call, request.id);
      const { resources } = request;
      if (resources === undefined) throw invalid(`task "${request.id}": the update names no resources`);
      await alone(task, () => task.update(resources.value));
      return {};
    },
    wait: async (request, call) => exitFields(await find(call, request.id).process(request.execId).ended),
    stats: (request, call) => {
      const task = find(call, request.id);
      return { stats: create(AnySchema, task.stats()) };
    },
    connect: (request, call) => ({
      shimPid: process.pid,
      taskPid: find(call, request.id).init.record.pid,
      version: options.version,
    }),
    shutdown: () => {
      // Other containers may live here, of whom the caller knows nothing.
      if (tasks.size === 0) options.shutdown();
      return {};
    },
  };
}
