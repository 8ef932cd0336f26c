import { invalid } from '#base/errors.ts';
import type { Exchange } from './exchange.ts';

export interface ApiVersion {
  readonly major: number;
  readonly minor: number;
}

/** What we speak. 1.24 is the oldest that any maintained client sends; 1.51 is that of Docker 28.3. */
export const maximumVersion: ApiVersion = { major: 1, minor: 51 };
export const minimumVersion: ApiVersion = { major: 1, minor: 24 };

export const printVersion = (version: ApiVersion): string => `${version.major}.${version.minor}`;
export const isBefore = (version: ApiVersion, major: number, minor: number): boolean =>
  version.major < major || (version.major === major && version.minor < minor);

export type Handler = (exchange: Exchange) => Promise<void>;

export interface Route {
  readonly method: string;
  /** `{name}` is one segment; `{name*}` may contain slashes, as image names do. */
  readonly path: string;
  readonly handler: Handler;
  /** The connection may be taken over by `Upgrade: tcp`. */
  readonly hijacks?: boolean;
}

export interface Match {
  readonly route: Route;
  readonly version: ApiVersion;
  readonly parameters: Readonly<Record<string, string>>;
}

interface Compiled {
  readonly route: Route;
  readonly pattern: RegExp;
}

/** Finds the route of a request. The first that matches wins, so a fixed path stands before a pattern. */
export class Router {
  readonly #byMethod = new Map<string, Compiled[]>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const compiled = this.#byMethod.get(route.method) ?? [];
      compiled.push({ route, pattern: compile(route.path) });
      this.#byMethod.set(route.method, compiled);
    }
  }

  /** `path` as it stands in the request line, without the query. Throws when the version is not one of ours. */
  find(method: string, path: string): Match | undefined {
    const { version, rest } = splitVersion(path);
    for (const { route, pattern } of this.#byMethod.get(method) ?? []) {
      const found = pattern.exec(rest);
      if (found === null) continue;
      const parameters: Record<string, string> = {};
      for (const [name, value] of Object.entries(found.groups ?? {})) parameters[name] = decode(value ?? '');
      return { route, version, parameters };
    }
    return undefined;
  }
}

function splitVersion(path: string): { version: ApiVersion; rest: string } {
  const found = /^\/v(\d{1,4})\.(\d{1,4})(\/.*)$/.exec(path);
  if (found === null) return { version: maximumVersion, rest: path };
  const version = { major: Number(found[1]), minor: Number(found[2]) };
  if (isBefore(version, minimumVersion.major, minimumVersion.minor)) {
    throw invalid(
      `client version ${printVersion(version)} is too old. Minimum supported API version is ` +
        `${printVersion(minimumVersion)}, please upgrade your client to a newer version`,
    );
  }
  if (isBefore(maximumVersion, version.major, version.minor)) {
    throw invalid(
      `client version ${printVersion(version)} is too new. Maximum supported API version is ${printVersion(maximumVersion)}`,
    );
  }
  return { version, rest: found[3] ?? '/' };
}

function compile(path: string): RegExp {
  const escaped = path.replace(/[.+?^$()|[\]\\]/g, '\\$&');
  return new RegExp(
    `^${escaped.replace(/\{(\w+)(\*?)\}/g, (_, name, rest) => `(?<${name}>${rest ? '.+?' : '[^/]+'})`)}$`,
  );
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    throw invalid(`the path contains "${part}", which is not valid percent-encoding`, error);
  }
}
