import type { DescService } from '@bufbuild/protobuf';
import { HakoError } from '#base/errors.ts';
import { GrpcClient, type CallOptions, type Client } from '#wire/grpc-client.ts';

/** Where a proxy plugin is. */
export interface ProxyAddress {
  /** Its id: the table's name in the configuration. */
  readonly name: string;
  /** Its unix socket. */
  readonly address: string;
}

/** How long a proxy may take to accept a connection. */
const CONNECT_MS = 5000;

/**
 * The way to a proxy plugin. Nothing is asked of it before the first call, and a connection that is lost is made again
 * at the next one: a proxy may start after us, and start again while we run.
 */
export class ProxyConnection {
  readonly #at: ProxyAddress;
  readonly #client: GrpcClient;

  constructor(at: ProxyAddress) {
    this.#at = at;
    const socket = at.address.replace(/^unix:(?:\/\/)?/, '');
    this.#client = new GrpcClient(socket, {}, { connectTimeout: CONNECT_MS });
  }

  service<S extends DescService>(desc: S): Client<S> {
    return this.#client.service(desc);
  }

  /** Options of a call in a namespace. */
  on(namespace: string, signal: AbortSignal): CallOptions {
    return { headers: { 'containerd-namespace': namespace }, signal };
  }

  /** What `call` gives. An error of the connection says whose it is; the proxy's own errors stay as they are. */
  async ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw this.explain(error);
    }
  }

  explain(error: unknown): unknown {
    if (!(error instanceof HakoError) || error.code !== 'unavailable') return error;
    const { name, address } = this.#at;
    return new HakoError(
      'unavailable',
      `proxy plugin "${name}" at "${address}" is not available: ${error.message}`,
      error,
    );
  }

  close(): void {
    this.#client.close();
  }
}
