import { AnySchema, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { create } from '@bufbuild/protobuf';
import { HakoError } from '#base/errors.ts';
import type { Blob } from '#core/content.ts';
import type { ApplyOptions, Differ, DiffOptions, DiffScope, LayerSink, MadeLayer } from '#core/differs.ts';
import type { Descriptor } from '#core/images.ts';
import type { Mount } from '#core/mounts.ts';
import { Diff } from '#proto/gen/containerd/services/diff/v1/diff_pb.ts';
import type { Descriptor as DescriptorMessage } from '#proto/gen/containerd/types/descriptor_pb.ts';
import type { CallOptions, Client } from '#wire/grpc-client.ts';
import { ProxyConnection, type ProxyAddress } from './connection.ts';

/**
 * A differ in another process, behind containerd's diff service. It reads layers from our content service and stores there what
 * it makes, in the namespace and under the lease of the call.
 */
export class DiffProxy implements Differ {
  readonly #connection: ProxyConnection;
  readonly #client: Client<typeof Diff>;
  readonly #name: string;

  constructor(at: ProxyAddress) {
    this.#connection = new ProxyConnection(at);
    this.#client = this.#connection.service(Diff);
    this.#name = at.name;
  }

  async apply(
    layer: Descriptor,
    blob: Blob,
    mounts: readonly Mount[],
    signal: AbortSignal,
    { payloads = {}, syncFs = false, scope, progress }: ApplyOptions = {},
  ): Promise<Descriptor> {
    const { mediaType, digest, size, annotations = {} } = layer;
    const request = {
      diff: { mediaType, digest, size: BigInt(size), annotations },
      mounts: mounts.map(toMount),
      payloads: Object.fromEntries(
        Object.entries(payloads).map(([id, { typeUrl, value }]) => [
          id,
          create(AnySchema, { typeUrl, value: new Uint8Array(value) }),
        ]),
      ),
      syncFs,
    };
    const { applied } = await this.#connection.ask(() => this.#client.apply(request, this.#on(scope, signal)));
    progress?.(blob.size);
    return this.#descriptor(applied);
  }

  async diff(
    left: readonly Mount[],
    right: readonly Mount[],
    _sink: LayerSink,
    signal: AbortSignal,
    { mediaType, ref = '', labels = {}, sourceDateEpoch, scope }: DiffOptions,
  ): Promise<MadeLayer> {
    const request = {
      left: left.map(toMount),
      right: right.map(toMount),
      mediaType,
      ref,
      labels: { ...labels },
      ...(sourceDateEpoch === undefined
        ? {}
        : {
            sourceDateEpoch: create(TimestampSchema, {
              seconds: BigInt(sourceDateEpoch.seconds),
              nanos: sourceDateEpoch.nanoseconds,
            }),
          }),
    };
    const { diff } = await this.#connection.ask(() => this.#client.diff(request, this.#on(scope, signal)));
    return { kind: 'stored', layer: this.#descriptor(diff) };
  }

  close(): void {
    this.#connection.close();
  }

  #on(scope: DiffScope | undefined, signal: AbortSignal): CallOptions {
    if (scope === undefined) throw new HakoError('internal', `differ "${this.#name}" must be told whose layer it is`);
    const { headers, ...rest } = this.#connection.on(scope.namespace, signal);
    return {
      ...rest,
      headers: { ...headers, ...(scope.lease === undefined ? {} : { 'containerd-lease': scope.lease }) },
    };
  }

  #descriptor(message: DescriptorMessage | undefined): Descriptor {
    if (message === undefined || message.digest === '')
      throw new HakoError('internal', `differ "${this.#name}" gave no descriptor`);
    return { mediaType: message.mediaType, digest: message.digest, size: Number(message.size) };
  }
}

const toMount = ({
  type,
  source,
  target = '',
  options,
}: Mount): {
  type: string;
  source: string;
  target: string;
  options: string[];
} => ({ type, source, target, options: [...options] });
