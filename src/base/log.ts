export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'panic'] as const;
export type LogLevel = (typeof logLevels)[number];

/** What the daemon writes about itself. Fields are data for machines; secrets never go in. */
export interface Logger {
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** For tests, and for callers that do not care. */
export const silent: Logger = { log: () => {} };
