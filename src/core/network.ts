/** What a container's network is to be. `ports` are published on the host. */
export interface NetworkRequest {
  readonly namespace: string;
  readonly id: string;
  /** Path of the network namespace, made by `createNetns`. */
  readonly netns: string;
  readonly network: string;
  readonly hostname: string;
  readonly ports: readonly PortMapping[];
}

export interface PortMapping {
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

export interface NetworkStatus {
  readonly interfaceName: string;
  readonly ipAddress: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly macAddress: string;
  readonly dns: readonly string[];
}

/** Connects network namespaces. `detach` and `removeNetns` are idempotent: reconciling repeats them. */
export interface NetworkDriver {
  createNetns(namespace: string, id: string, signal: AbortSignal): Promise<string>;
  removeNetns(namespace: string, id: string, signal: AbortSignal): Promise<void>;
  attach(request: NetworkRequest, signal: AbortSignal): Promise<NetworkStatus>;
  detach(request: NetworkRequest, signal: AbortSignal): Promise<void>;
  /** Every network namespace it holds, for reconciling at boot. */
  list(signal: AbortSignal): Promise<{ namespace: string; id: string }[]>;
}
