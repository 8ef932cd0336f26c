import { create } from '@bufbuild/protobuf';
import { AnySchema, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { hostPlatform } from '#base/platforms.ts';
import type { Sandbox as SandboxApi } from '#proto/gen/containerd/runtime/sandbox/v1/sandbox_pb.ts';
import type { TtrpcMethods } from '#wire/ttrpc-server.ts';
import type { Sandboxes, SandboxState } from './sandboxes.ts';
import { checkId, namespaceOf, runtimeOf } from './service.ts';
import { statsOf } from './stats.ts';

/** CRI's words, which are those that containerd's own sandboxer uses. */
const words = {
  created: 'SANDBOX_NOTREADY',
  ready: 'SANDBOX_READY',
  stopped: 'SANDBOX_NOTREADY',
} as const satisfies Record<SandboxState['state'], string>;

/** containerd's Sandbox service of shims. */
export function sandboxService(sandboxes: Sandboxes, runtimeRoot: string): TtrpcMethods<typeof SandboxApi> {
  return {
    createSandbox: async (request, call) => {
      const namespace = namespaceOf(call);
      checkId('sandbox', request.sandboxId);
      const { owner: _, ...runtime } = runtimeOf(request.options, runtimeRoot, namespace);
      const { sandboxId: id, bundlePath: bundle, rootfs, netnsPath: netns } = request;
      await sandboxes.create({ namespace, id, bundle, rootfs, netns, runtime });
      return {};
    },
    startSandbox: async ({ sandboxId }, call) => {
      const { pid, createdAt } = await sandboxes.start(namespaceOf(call), sandboxId);
      return { pid, createdAt: timestampFromMs(createdAt) };
    },
    platform: ({ sandboxId }, call) => {
      sandboxes.state(namespaceOf(call), sandboxId);
      const { os, architecture, variant = '' } = hostPlatform();
      return { platform: { os, architecture, variant } };
    },
    stopSandbox: async ({ sandboxId, timeoutSecs }, call) => {
      await sandboxes.stop(namespaceOf(call), sandboxId, timeoutSecs);
      return {};
    },
    waitSandbox: async ({ sandboxId }, call) => {
      const { status, at } = await sandboxes.wait(namespaceOf(call), sandboxId);
      return { exitStatus: status, exitedAt: timestampFromMs(at) };
    },
    sandboxStatus: ({ sandboxId, verbose }, call) => {
      const { pid, state, createdAt, exit, bundle } = sandboxes.state(namespaceOf(call), sandboxId);
      return {
        sandboxId,
        pid,
        state: words[state],
        info: verbose ? { state, bundle } : {},
        createdAt: timestampFromMs(createdAt),
        ...(exit === undefined ? {} : { exitedAt: timestampFromMs(exit.at) }),
      };
    },
    pingSandbox: ({ sandboxId }, call) => {
      sandboxes.state(namespaceOf(call), sandboxId);
      return {};
    },
    shutdownSandbox: async ({ sandboxId }, call) => {
      await sandboxes.shutdown(namespaceOf(call), sandboxId);
      return {};
    },
    sandboxMetrics: ({ sandboxId }, call) => {
      const task = sandboxes.task(namespaceOf(call), sandboxId);
      if (task === undefined) return {};
      const data = create(AnySchema, statsOf(task.record.cgroups, sandboxId));
      return { metrics: { timestamp: timestampFromMs(Date.now()), id: sandboxId, data } };
    },
  };
}
