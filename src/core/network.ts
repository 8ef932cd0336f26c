/** What a container's network is to be. `ports` are published on the host. */
export interface NetworkRequest {
  readonly namespace: string;
  readonly id: string;
  /** Path of the network namespace, made by `createNetns`. */
  readonly netns: string;
  readonly network: string;
  readonly hostname: string;
  readonly ports: readonly PortMapping[];
  /** Asks for this address. */
  readonly ipAddress?: string;
  /** Asks for this hardware address. */
  readonly macAddress?: string;
}

export interface PortMapping {
  /** '' is every address of the host. */
  readonly hostIp: string;
  /** 0 in a request leaves the choice to the driver. */
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

export interface NetworkStatus {
  readonly network: string;
  readonly interfaceName: string;
  readonly ipAddress: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly macAddress: string;
  readonly dns: readonly string[];
  readonly ports: readonly PortMapping[];
}

/** A network that containers may be attached to. */
export interface NetworkInfo {
  readonly name: string;
  readonly driver: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly gateway: string;
  /** Whether the containers' way out is masqueraded. Not without iptables. */
  readonly masquerade: boolean;
}

/** Connects network namespaces. `detach` and `removeNetns` are idempotent: reconciling repeats them. */
export interface NetworkDriver {
  /** Makes a network namespace with its loopback up and gives its path. One that is there already is given as it is. */
  createNetns(namespace: string, id: string, signal: AbortSignal): Promise<string>;
  removeNetns(namespace: string, id: string, signal: AbortSignal): Promise<void>;
  /** failed-precondition when plugins are missing; nothing is kept of an attachment that failed. */
  attach(request: NetworkRequest, signal: AbortSignal): Promise<NetworkStatus>;
  /** Gives back addresses and ports of whatever was attached, also when the namespace is gone. */
  detach(namespace: string, id: string, signal: AbortSignal): Promise<void>;
  /** What `attach` gave, as long as it is attached. Kept over restarts of the daemon. */
  status(namespace: string, id: string): NetworkStatus | undefined;
  /** Every network namespace and attachment it holds, for reconciling at boot. */
  list(signal: AbortSignal): Promise<{ namespace: string; id: string }[]>;
  /** The networks there are. */
  networks(signal: AbortSignal): Promise<NetworkInfo[]>;
}
