import type { DescService } from '@bufbuild/protobuf';
import { stat } from 'node:fs/promises';
import { HakoError } from '#base/errors.ts';
import { GrpcClient, type CallOptions, type Client } from '#wire/grpc-client.ts';

export interface ContainerdOptions {
  /** Path of a unix socket, with or without `unix://`. */
  readonly address: string;
  readonly namespace: string;
  /** Milliseconds for everything that is done with this client together. */
  readonly timeout?: number | undefined;
  /** Milliseconds until the daemon must have answered for the first time. */
  readonly connectTimeout?: number | undefined;
}

/** What all views of one connection share. */
interface Line {
  readonly path: string;
  readonly grpc: GrpcClient;
  readonly signal: AbortSignal | undefined;
  readonly deadline: number | undefined;
}

/**
 * A client of containerd's API, ours or containerd's own. Calls go out in one namespace, and under a lease when there is
 * one; `inNamespace` and `underLease` give other views of the same connection.
 */
export class Containerd implements Disposable {
  readonly namespace: string;
  readonly lease: string | undefined;
  readonly #line: Line;

  constructor(options: ContainerdOptions | { line: Line; namespace: string; lease: string | undefined }) {
    this.namespace = options.namespace;
    if ('line' in options) {
      this.#line = options.line;
      this.lease = options.lease;
      return;
    }
    const { timeout, connectTimeout } = options;
    const path = options.address.replace(/^unix:\/\//, '');
    this.#line = {
      path,
      grpc: new GrpcClient(path, {}, { connectTimeout }),
      signal: timeout === undefined ? undefined : AbortSignal.timeout(timeout),
      deadline: timeout === undefined ? undefined : Date.now() + timeout,
    };
  }

  /** Where the daemon listens. */
  get address(): string {
    return this.#line.path;
  }

  /** Ends with the overall timeout; never without one. */
  get signal(): AbortSignal | undefined {
    return this.#line.signal;
  }

  inNamespace(namespace: string): Containerd {
    return new Containerd({ line: this.#line, namespace, lease: undefined });
  }

  /** Whatever is made through the view belongs to the lease. */
  underLease(lease: string | undefined): Containerd {
    return new Containerd({ line: this.#line, namespace: this.namespace, lease });
  }

  /** The methods of a service. They throw HakoError with the server's code and message. */
  service<S extends DescService>(desc: S): Client<S> {
    const plain = this.#line.grpc.service(desc) as Record<string, (input: unknown, options?: CallOptions) => unknown>;
    const bound = Object.entries(plain).map(([name, call]) => [
      name,
      (input: unknown, options: CallOptions = {}) => call(input, this.#options(options)),
    ]);
    return Object.fromEntries(bound) as Client<S>;
  }

  /** Says in time and in plain words that nobody listens. Everything else is found out by the first call. */
  async check(): Promise<void> {
    await stat(this.#line.path).catch((error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'ENOENT'
          ? 'no such socket: is the daemon running? --address names another one'
          : error.code === 'EACCES'
            ? 'permission denied: run as root, or as who owns it'
            : (error.code ?? error.message);
      throw new HakoError('unavailable', `cannot access socket "${this.#line.path}": ${why}`, error);
    });
  }

  /** Breaks the connection off. */
  close(): void {
    this.#line.grpc.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #options({ headers, signal, timeout }: CallOptions): CallOptions {
    const { deadline, signal: overall } = this.#line;
    const signals = [signal, overall].filter((one) => one !== undefined);
    const left = deadline === undefined ? undefined : Math.max(1, deadline - Date.now());
    const sooner = left === undefined || (timeout !== undefined && timeout < left) ? timeout : left;
    return {
      headers: {
        // Both names that containerd's own client sends: one for gRPC, one for what goes on over ttrpc.
        'containerd-namespace': this.namespace,
        'containerd-namespace-ttrpc': this.namespace,
        ...(this.lease === undefined ? {} : { 'containerd-lease': this.lease }),
        ...headers,
      },
      ...(signals.length === 0 ? {} : { signal: signals.length === 1 ? signals[0]! : AbortSignal.any(signals) }),
      ...(sooner === undefined ? {} : { timeout: sooner }),
    };
  }
}
