import { HakoError, type ErrorCode } from '#base/errors.ts';

/** What the runtimes' own words mean, the first that fits. */
const meanings: readonly (readonly [RegExp, ErrorCode])[] = [
  [
    /executable file .*not found|stat .*: no such file or directory: unknown|exec: .*no such file or directory/,
    'not-found',
  ],
  [/exec.*permission denied/i, 'permission-denied'],
  [/exec: .*is a directory|is a directory/, 'permission-denied'],
  [/container .*does not exist|container with given ID does not exist/i, 'not-found'],
  [/already exists/, 'already-exists'],
  [/process already finished|no such process|container not running|is not running/i, 'not-found'],
];

/** The last error that a runtime wrote into its log (`--log-format json`), or its last line. */
export function lastError(log: string): string | undefined {
  const lines = log.split('\n').filter((line) => line.trim() !== '');
  let last: string | undefined;
  for (const line of lines) {
    try {
      const entry = JSON.parse(line) as { level?: string; msg?: string };
      if (entry.msg !== undefined && (entry.level === 'error' || entry.level === 'fatal')) last = entry.msg;
    } catch {
      last = line;
    }
  }
  return last;
}

/**
 * A failed call of a runtime as one line with the right code. `command` is the program to be run, if the call was to
 * run one: not every runtime says which one it could not.
 */
export function runtimeError(call: {
  binary: string;
  verb: string;
  code: number | null;
  signal: string | null;
  log: string;
  command: string | undefined;
}): HakoError {
  const words = lastError(call.log)
    ?.replace(/\s*\n\s*/g, ': ')
    .trim();
  const how = call.signal === null ? `status ${call.code}` : `signal ${call.signal}`;
  if (words === undefined)
    return new HakoError('unknown', `OCI runtime "${call.binary}" ${call.verb} ended with ${how} and said nothing`);
  const code = meanings.find(([pattern]) => pattern.test(words))?.[1] ?? 'unknown';
  const { command } = call;
  const named = command === undefined || words.includes(command) || !['not-found', 'permission-denied'].includes(code);
  return new HakoError(code, `OCI runtime ${call.verb} failed: ${named ? words : `"${command}": ${words}`}`);
}
