export interface PrivateDaemon {
  readonly dir: string;
  readonly root: string;
  readonly state: string;
  readonly address: string;
  readonly dockerAddress: string;
  readonly configFile: string;
  readonly pid: number | undefined;
  configure(text: string): void;
  log(): string;
  start(options?: { timeout?: number }): Promise<void>;
  stop(): Promise<number | string | undefined>;
  kill(): Promise<number | string | undefined>;
  end(): Promise<string[]>;
}

export function startDaemon(options?: {
  dir?: string;
  config?: string;
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
}): Promise<PrivateDaemon>;
