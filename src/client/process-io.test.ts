import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { spawn } from 'node:child_process';
import { makeFifos, ProcessIo, removeFifos } from './process-io.ts';

const directory = mkdtempSync(join(tmpdir(), 'process-io-'));
after(() => rmSync(directory, { recursive: true }));

/** A process at the other ends of the FIFOs, as a shim starts one. */
const shell = (script: string, paths: readonly string[]): Promise<number> =>
  new Promise((resolve) => {
    spawn('sh', ['-c', script, 'sh', ...paths], { stdio: 'ignore' }).on('close', (code) => resolve(code ?? -1));
  });

test('what a process writes before anybody reads is not lost, and its end is seen', async () => {
  const paths = await makeFifos({ directory, id: 'one', terminal: false });
  using io = new ProcessIo(paths);
  const process = shell('exec >"$1" 2>"$2"; echo out; echo err >&2', [paths.stdout, paths.stderr]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const [out, err] = [io.read('stdout')!, io.read('stderr')!];
  assert.deepEqual(await Promise.all([text(out), text(err)]), ['out\n', 'err\n']);
  assert.equal(await process, 0);
  assert.equal(io.read('stdout'), undefined, 'an output is read once');
});

test('an output that nobody writes to yet has no end', async () => {
  const paths = await makeFifos({ directory, id: 'late', terminal: true });
  using io = new ProcessIo(paths);
  let ended = false;
  const source = io
    .read('stdout')!
    .on('end', () => (ended = true))
    .resume();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(ended, false);
  const closed = new Promise((resolve) => source.on('close', resolve));
  await shell('echo x >"$1"', [paths.stdout]);
  await closed;
  assert.equal(ended, true);
});

test('input waits for its reader, comes whole, and its end is told', async () => {
  const paths = await makeFifos({ directory, id: 'in', terminal: true });
  using io = new ProcessIo(paths);
  const large = 'x'.repeat(300_000);
  const fed = io.feed(Readable.from([Buffer.from(large), Buffer.from('last')]));
  await new Promise((resolve) => setTimeout(resolve, 30));
  const got = join(directory, 'got');
  const [whole, code] = await Promise.all([fed, shell('cat "$1" >"$2"', [paths.stdin, got])]);
  assert.deepEqual([whole, code], [true, 0]);
  const { readFileSync } = await import('node:fs');
  assert.ok(readFileSync(got, 'utf8') === `${large}last`);
});

test('a reader that goes ends the copying, and the source lives on', async () => {
  const paths = await makeFifos({ directory, id: 'gone', terminal: true });
  using io = new ProcessIo(paths);
  const source = new PassThrough();
  const fed = io.feed(source);
  source.write('one\n');
  assert.equal(await shell('read line <"$1"; test "$line" = one', [paths.stdin]), 0);
  const more = setInterval(() => source.write('more\n'), 10);
  assert.equal(await fed, false);
  clearInterval(more);
  assert.equal(source.destroyed, false);
});

test('feeding ends when the streams are given up before a reader came', async () => {
  const paths = await makeFifos({ directory, id: 'never', terminal: true });
  const io = new ProcessIo(paths);
  const fed = io.feed(new PassThrough());
  io[Symbol.dispose]();
  assert.equal(await fed, false);
});

test('a log takes no FIFOs; removing takes them and their directory, and nothing else', async () => {
  using io = new ProcessIo({ stdin: '', stdout: 'file:///log', stderr: 'file:///log', terminal: false });
  assert.equal(io.read('stdout'), undefined);
  assert.equal(await io.feed(new PassThrough()), false);
  const paths = await makeFifos({ directory, id: 'rm', terminal: false });
  const own = dirname(paths.stdout);
  assert.deepEqual(readdirSync(own).sort(), ['rm-stderr', 'rm-stdin', 'rm-stdout']);
  const file = join(directory, 'file');
  writeFileSync(file, '');
  await removeFifos({ ...paths, stderr: file });
  assert.ok(existsSync(file), 'no FIFO');
  assert.ok(existsSync(own), 'not empty');
  await removeFifos(paths);
  assert.ok(!existsSync(own));
  await removeFifos(paths);
});
