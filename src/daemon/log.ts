import { writeSync } from 'node:fs';
import { logLevels, type Logger, type LogLevel } from '#base/log.ts';

export type LogFormat = 'auto' | 'text' | 'json';

type Fields = Readonly<Record<string, unknown>>;

/**
 * The daemon's log on standard error: for people on a terminal, a JSON object a line (`time`, `level`, `msg`, then the
 * fields) elsewhere. A log that cannot be written is dropped: it must never stop the daemon.
 */
export function createLogger(
  options: { readonly level: LogLevel; readonly format: LogFormat },
  sink: { readonly isTTY: boolean; write(line: string): void } = standardError,
): Logger {
  const threshold = logLevels.indexOf(options.level);
  const text = options.format === 'text' || (options.format === 'auto' && sink.isTTY);
  const format = text ? (sink.isTTY ? colouredLine : plainLine) : jsonLine;
  return {
    log: (level, message, fields = {}) => {
      if (logLevels.indexOf(level) >= threshold) sink.write(format(level, message, fields));
    },
  };
}

const standardError = {
  get isTTY(): boolean {
    return process.stderr.isTTY;
  },
  write(line: string): void {
    try {
      // Synchronous, so that the last words before an exit are not lost.
      writeSync(2, line);
    } catch {
      // The reader is gone or the disk is full, and there is nobody to tell.
    }
  },
};

// logrus writes `warning` for what everyone else calls warn, and readers of containerd's log look for it.
const containerdLevel = (level: LogLevel): string => (level === 'warn' ? 'warning' : level);

function jsonLine(level: LogLevel, message: string, fields: Fields): string {
  const entry: Record<string, unknown> = {
    time: new Date().toISOString(),
    level: containerdLevel(level),
    msg: message,
  };
  for (const [key, value] of Object.entries(fields)) entry[key in entry ? `fields.${key}` : key] = plain(value);
  return `${JSON.stringify(entry)}\n`;
}

function plainLine(level: LogLevel, message: string, fields: Fields): string {
  return `${clock()} ${level.toUpperCase().padEnd(5)} ${oneLine(message)}${fieldsText(fields, '', '')}\n`;
}

const colours: Readonly<Record<LogLevel, string>> = {
  trace: '90',
  debug: '90',
  info: '36',
  warn: '33',
  error: '31',
  fatal: '31',
  panic: '31',
};

function colouredLine(level: LogLevel, message: string, fields: Fields): string {
  const word = `\x1b[${colours[level]}m${level.toUpperCase().padEnd(5)}\x1b[0m`;
  return `\x1b[90m${clock()}\x1b[0m ${word} ${oneLine(message)}${fieldsText(fields, '\x1b[90m', '\x1b[0m')}\n`;
}

const clock = (): string => new Date().toISOString().slice(11, 23);

const control = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;
const oneLine = (text: string): string =>
  text.replace(control, (c) => (c === '\n' ? '\\n' : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`));

function fieldsText(fields: Fields, before: string, after: string): string {
  return Object.entries(fields)
    .map(([key, value]) => ` ${before}${key}=${after}${word(plain(value))}`)
    .join('');
}

function word(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined');
  return typeof value === 'string' && !/^[\w./:@%+,-]+$/.test(text) ? JSON.stringify(text) : oneLine(text);
}

/** What JSON cannot say, said otherwise. */
function plain(value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? value.message;
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  return value;
}
