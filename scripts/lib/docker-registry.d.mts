export const testUser: { readonly username: string; readonly password: string };
/** The path of the registry program, or undefined where it is not installed (package docker-registry). */
export function findRegistry(): string | undefined;

export interface TokenAuth {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** Path of the certificate that signs tokens. */
  readonly certificate: string;
}
export interface RegistryStart {
  readonly tls?: boolean;
  readonly auth?: 'basic' | TokenAuth;
  readonly binary?: string;
  readonly port?: number;
  readonly dir?: string;
  /** More lines for the registry's own configuration file. */
  readonly extra?: string;
}
export interface RunningRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`, as it stands in references. */
  readonly host: string;
  readonly port: number;
  readonly url: string;
  readonly pid: number;
  readonly dir: string;
  /** With TLS: what a client has to trust, and where it lies. */
  readonly ca: string | undefined;
  readonly caPath: string | undefined;
  log(): string;
  /** Ends the process and keeps the storage. */
  halt(): Promise<void>;
  /** Ends the process and removes the storage, unless the caller gave the directory. */
  stop(): Promise<void>;
}
export function startRegistry(options?: RegistryStart): Promise<RunningRegistry>;
export function selfSigned(dir: string, name?: string): Promise<{ key: string; certificate: string; pem: string }>;
