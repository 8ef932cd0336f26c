import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { TimestampSchema, type Timestamp } from '@bufbuild/protobuf/wkt';
import type { SandboxPlan, Sandbox } from '#core/sandboxes.ts';
import {
  Controller,
  Store,
  StoreListResponseSchema,
  type ControllerCreateRequest,
} from '#proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts';
import { SandboxSchema, type Sandbox as SandboxMessage } from '#proto/gen/containerd/types/sandbox_pb.ts';
import type { SandboxControllers } from '#services/sandbox-controllers.ts';
import type { NewSandbox, Sandboxes } from '#services/sandboxes.ts';
import { grpcService, type GrpcService } from '#wire/grpc-service.ts';
import { repeated } from '#wire/repeated.ts';
import { callOf } from './call.ts';
import { fromAny, fromMount, needed, optionalAny, toAny, toTimestamp } from './convert.ts';

export const sandboxStoreService = (sandboxes: Sandboxes): GrpcService =>
  grpcService(Store, {
    create: async (request, call) => {
      const { runtime } = needed(request.sandbox, 'Sandbox');
      needed(runtime, 'Sandbox.Runtime');
      return { sandbox: toSandbox(await sandboxes.create(callOf(call), fromSandbox(request.sandbox!))) };
    },
    update: async (request, call) => {
      const sandbox = fromSandbox(needed(request.sandbox, 'Sandbox'));
      return { sandbox: toSandbox(await sandboxes.update(callOf(call), sandbox, request.fields)) };
    },
    delete: async ({ sandboxId }, call) => {
      await sandboxes.delete(callOf(call), sandboxId);
      return {};
    },
    list: ({ filters }, call) =>
      repeated(StoreListResponseSchema, 'list', SandboxSchema, sandboxes.list(callOf(call), filters).map(toSandbox)),
    get: ({ sandboxId }, call) => ({ sandbox: toSandbox(sandboxes.get(callOf(call), sandboxId)) }),
  });

/** The sandboxer is looked for before the namespace, as in containerd. */
export const sandboxControllerService = (controllers: SandboxControllers): GrpcService =>
  grpcService(Controller, {
    create: async (request, call) => {
      const { sandboxId, sandboxer } = request;
      await controllers.named(sandboxer).create(callOf(call), sandboxId, newSandbox(request));
      return { sandboxId };
    },
    start: async ({ sandboxId, sandboxer }, call) => {
      const { createdAt, spec, ...rest } = await controllers.named(sandboxer).start(callOf(call), sandboxId);
      return {
        ...rest,
        sandboxId,
        labels: { ...rest.labels },
        createdAt: timestampOf(createdAt),
        ...(spec !== undefined && { spec: toAny(spec) }),
      };
    },
    platform: async ({ sandboxId, sandboxer }, call) => {
      const { os, architecture, variant = '' } = await controllers.named(sandboxer).platform(callOf(call), sandboxId);
      return { platform: { os, architecture, variant } };
    },
    stop: async ({ sandboxId, sandboxer, timeoutSecs }, call) => {
      await controllers.named(sandboxer).stop(callOf(call), sandboxId, timeoutSecs);
      return {};
    },
    wait: async ({ sandboxId, sandboxer }, call) => {
      call.lasts();
      const { status, at } = await controllers.named(sandboxer).wait(callOf(call), sandboxId);
      return { exitStatus: status, exitedAt: toTimestamp(at) };
    },
    status: async ({ sandboxId, sandboxer, verbose }, call) => {
      const status = await controllers.named(sandboxer).status(callOf(call), sandboxId, verbose);
      const { createdAt, exitedAt, extra, ...rest } = status;
      return {
        ...rest,
        sandboxId,
        info: { ...rest.info },
        createdAt: timestampOf(createdAt),
        exitedAt: timestampOf(exitedAt),
        // Never left out, as containerd has it.
        extra: toAny(extra ?? { typeUrl: '', value: new Uint8Array() }),
      };
    },
    shutdown: async ({ sandboxId, sandboxer }, call) => {
      await controllers.named(sandboxer).shutdown(callOf(call), sandboxId);
      return {};
    },
    metrics: async ({ sandboxId, sandboxer }, call) => {
      const metric = await controllers.named(sandboxer).metrics(callOf(call), sandboxId);
      if (metric === undefined) return {};
      const { id, at, data } = metric;
      return {
        metrics: {
          id,
          ...(at !== undefined && { timestamp: toTimestamp(at) }),
          ...(data !== undefined && { data: toAny(data) }),
        },
      };
    },
    update: async ({ sandboxId, sandboxer, sandbox, fields }, call) => {
      const plan = sandbox === undefined ? undefined : fromSandbox(sandbox);
      await controllers.named(sandboxer).update(callOf(call), sandboxId, plan, fields);
      return {};
    },
  });

/** Go's zero time for one that is not set. */
const timestampOf = (date: Date | undefined): Timestamp =>
  date === undefined ? create(TimestampSchema, { seconds: -62_135_596_800n }) : toTimestamp(date);

/** Clients of 1.7 send the sandbox's id alone: it is in their store. */
function newSandbox(request: ControllerCreateRequest) {
  const options = optionalAny(request.options);
  const sandbox: SandboxPlan =
    request.sandbox === undefined ? { id: request.sandboxId } : planOf(request.sandbox, fromSandbox(request.sandbox));
  return {
    sandbox,
    rootfs: request.rootfs.map(fromMount),
    ...(options !== undefined && { options }),
    netns: request.netnsPath,
    annotations: request.annotations,
  };
}

/** Without the runtime where the message has none. */
function planOf(message: SandboxMessage, { runtime, ...sandbox }: NewSandbox): SandboxPlan {
  return message.runtime === undefined ? sandbox : { ...sandbox, runtime };
}

function toSandbox(sandbox: Sandbox): MessageInitShape<typeof SandboxSchema> {
  const { runtime, spec, extensions } = sandbox;
  return {
    sandboxId: sandbox.id,
    runtime: { name: runtime.name, ...(runtime.options !== undefined && { options: toAny(runtime.options) }) },
    ...(spec !== undefined && { spec: toAny(spec) }),
    labels: { ...sandbox.labels },
    createdAt: toTimestamp(sandbox.createdAt),
    updatedAt: toTimestamp(sandbox.updatedAt),
    extensions: Object.fromEntries(Object.entries(extensions).map(([name, any]) => [name, toAny(any)])),
    sandboxer: sandbox.sandboxer,
  };
}

function fromSandbox(message: SandboxMessage): NewSandbox {
  const spec = optionalAny(message.spec);
  const options = optionalAny(message.runtime?.options);
  return {
    id: message.sandboxId,
    labels: message.labels,
    runtime: { name: message.runtime?.name ?? '', ...(options !== undefined && { options }) },
    ...(spec !== undefined && { spec }),
    sandboxer: message.sandboxer,
    extensions: Object.fromEntries(Object.entries(message.extensions).map(([name, any]) => [name, fromAny(any)])),
  };
}
