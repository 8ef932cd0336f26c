import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastError, runtimeError } from './runtime-error.ts';

const entry = (msg: string): string => `{"level":"error","msg":${JSON.stringify(msg)},"time":"2026-01-01T00:00:00Z"}\n`;
const failure = (log: string, command?: string) =>
  runtimeError({ binary: 'runc', verb: 'create', code: 1, signal: null, log, command });

test('the last error of the log is told, on one line', () => {
  assert.equal(lastError('{"level":"warning","msg":"old"}\n' + entry('first') + entry('second')), 'second');
  assert.equal(failure(entry('one\n  two')).message, 'OCI runtime create failed: one: two');
});

test('a missing command is not-found, in the words of either runtime', () => {
  const runc = 'runc create failed: unable to start container process: exec: "x": executable file not found in $PATH';
  assert.equal(failure(entry(runc)).code, 'not-found');
  assert.equal(failure(entry('executable file `x` not found in $PATH: No such file or directory')).code, 'not-found');
});

test('a file that may not be executed is permission-denied, and is named even if the runtime does not', () => {
  assert.equal(failure(entry('exec: "/x": permission denied')).code, 'permission-denied');
  const crun = failure(entry('open executable: Permission denied'), '/x');
  assert.equal(crun.code, 'permission-denied');
  assert.match(crun.message, /"\/x": open executable/);
});

test('a runtime that dies without a word is told by how it ended', () => {
  assert.match(
    runtimeError({ binary: 'runc', verb: 'create', code: null, signal: 'SIGKILL', log: '', command: undefined })
      .message,
    /ended with signal SIGKILL and said nothing/,
  );
});
