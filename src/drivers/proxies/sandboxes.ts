import { create } from '@bufbuild/protobuf';
import { AnySchema, TimestampSchema, type Any as AnyMessage, type Timestamp } from '@bufbuild/protobuf/wkt';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '#base/errors.ts';
import type { Any } from '#core/any.ts';
import type { Platform } from '#core/images.ts';
import type {
  CreateSandbox,
  Sandboxer,
  SandboxExit,
  SandboxMetric,
  SandboxPlan,
  SandboxRef,
  SandboxStatus,
  StartedSandbox,
} from '#core/sandboxes.ts';
import { Controller } from '#proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts';
import type { CallOptions, Client } from '#wire/grpc-client.ts';
import { momentOf } from '#wire/timestamp.ts';
import { ProxyConnection, type ProxyAddress } from './connection.ts';

/** Between two tries to wait at a side that is away, in milliseconds; it grows. */
const FIRST_PAUSE = 128;
const LONGEST_PAUSE = 4096;

/** A sandboxer in another process, behind containerd's sandbox controller service. It knows itself by its name here. */
export class SandboxProxy implements Sandboxer {
  readonly #name: string;
  readonly #connection: ProxyConnection;
  readonly #client: Client<typeof Controller>;

  constructor(at: ProxyAddress) {
    this.#name = at.name;
    this.#connection = new ProxyConnection(at);
    this.#client = this.#connection.service(Controller);
  }

  async create(request: CreateSandbox, signal: AbortSignal): Promise<void> {
    const { namespace, sandbox, rootfs, options, netns, annotations } = request;
    await this.#ask({ namespace, id: sandbox.id }, signal, (named, call) =>
      this.#client.create(
        {
          ...named,
          rootfs: rootfs.map((mount) => ({ ...mount, target: mount.target ?? '', options: [...mount.options] })),
          ...(options === undefined ? {} : { options: toAny(options) }),
          netnsPath: netns,
          annotations: { ...annotations },
          sandbox: toMessage(sandbox, this.#name),
        },
        call,
      ),
    );
  }

  async start(ref: SandboxRef, signal: AbortSignal): Promise<StartedSandbox> {
    const { pid, createdAt, labels, address, version, spec } = await this.#ask(ref, signal, (named, call) =>
      this.#client.start(named, call),
    );
    return { pid, createdAt: momentOf(createdAt), labels, address, version, ...(spec === undefined ? {} : { spec }) };
  }

  async platform(ref: SandboxRef, signal: AbortSignal): Promise<Platform> {
    const { platform } = await this.#ask(ref, signal, (named, call) => this.#client.platform(named, call));
    const { os = '', architecture = '', variant = '' } = platform ?? {};
    return { os, architecture, ...(variant === '' ? {} : { variant }) };
  }

  async stop(ref: SandboxRef, seconds: number, signal: AbortSignal): Promise<void> {
    await this.#ask(ref, signal, (named, call) => this.#client.stop({ ...named, timeoutSecs: seconds }, call));
  }

  /** Goes on waiting when the other side goes and comes back. */
  async wait(ref: SandboxRef, signal: AbortSignal): Promise<SandboxExit> {
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      try {
        const { exitStatus, exitedAt } = await this.#ask(ref, signal, (named, call) => this.#client.wait(named, call));
        return { status: exitStatus, at: momentOf(exitedAt) };
      } catch (error) {
        if (codeOf(error) !== 'unavailable' || signal.aborted) throw error;
        await sleep(pause, undefined, { signal });
      }
    }
  }

  async status(ref: SandboxRef, verbose: boolean, signal: AbortSignal): Promise<SandboxStatus> {
    const status = await this.#ask(ref, signal, (named, call) => this.#client.status({ ...named, verbose }, call));
    const { pid, state, info, createdAt, exitedAt, extra, address, version } = status;
    const dates = { createdAt: momentOf(createdAt), exitedAt: momentOf(exitedAt) };
    return { pid, state, info, ...dates, ...(extra === undefined ? {} : { extra }), address, version };
  }

  async shutdown(ref: SandboxRef, signal: AbortSignal): Promise<void> {
    await this.#ask(ref, signal, (named, call) => this.#client.shutdown(named, call));
  }

  async metrics(ref: SandboxRef, signal: AbortSignal): Promise<SandboxMetric | undefined> {
    const { metrics } = await this.#ask(ref, signal, (named, call) => this.#client.metrics(named, call));
    if (metrics === undefined) return undefined;
    const { id, timestamp, data } = metrics;
    return { id, at: momentOf(timestamp), ...(data === undefined ? {} : { data }) };
  }

  async update(ref: SandboxRef, sandbox: SandboxPlan, fields: readonly string[], signal: AbortSignal): Promise<void> {
    const change = { sandbox: toMessage(sandbox, this.#name), fields: [...fields] };
    await this.#ask(ref, signal, (named, call) => this.#client.update({ ...named, ...change }, call));
  }

  /** Breaks the connection off. */
  close(): void {
    this.#connection.close();
  }

  #ask<T>(
    { namespace, id }: SandboxRef,
    signal: AbortSignal,
    body: (named: { sandboxId: string; sandboxer: string }, call: CallOptions) => Promise<T>,
  ): Promise<T> {
    const call = this.#connection.on(namespace, signal);
    return this.#connection.ask(() => body({ sandboxId: id, sandboxer: this.#name }, call));
  }
}

const toAny = ({ typeUrl, value }: Any): AnyMessage => create(AnySchema, { typeUrl, value: new Uint8Array(value) });

const toTimestamp = (date: Date): Timestamp =>
  create(TimestampSchema, {
    seconds: BigInt(Math.floor(date.getTime() / 1000)),
    nanos: (date.getTime() - Math.floor(date.getTime() / 1000) * 1000) * 1_000_000,
  });

function toMessage(sandbox: SandboxPlan, sandboxer: string) {
  const { id, runtime, spec, labels = {}, extensions = {}, createdAt, updatedAt } = sandbox;
  return {
    sandboxId: id,
    ...(runtime === undefined
      ? {}
      : { runtime: { name: runtime.name, ...(runtime.options && { options: toAny(runtime.options) }) } }),
    ...(spec === undefined ? {} : { spec: toAny(spec) }),
    labels: { ...labels },
    extensions: Object.fromEntries(Object.entries(extensions).map(([name, any]) => [name, toAny(any)])),
    ...(createdAt === undefined ? {} : { createdAt: toTimestamp(createdAt) }),
    ...(updatedAt === undefined ? {} : { updatedAt: toTimestamp(updatedAt) }),
    sandboxer: sandbox.sandboxer || sandboxer,
  };
}
