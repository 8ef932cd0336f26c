import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { constants, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { canary } from './malformed.ts';
import { frame } from './wire-probe.ts';

/** How a call ended: its status, `reset N` or `open` when the daemon went on answering. */
export interface Answer {
  readonly status: string;
  readonly message: string;
}

/** Sends one request with these bodies and waits for its status, but not longer than `patience` milliseconds. */
export function attack(
  session: ClientHttp2Session,
  target: string,
  bodies: readonly Uint8Array[],
  options: { headers?: OutgoingHttpHeaders; patience?: number } = {},
): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const stream = session.request({
    ':method': 'POST',
    ':path': target,
    'content-type': 'application/grpc',
    te: 'trailers',
    'containerd-namespace': 'attack',
    ...options.headers,
  });
  let said: { status: string; message: string } | undefined;
  const hear = (headers: Readonly<Record<string, string | string[] | undefined>>): void => {
    const status = headers['grpc-status'];
    if (status !== undefined)
      said = {
        status: String(status),
        message: decodeURIComponent(String(headers['grpc-message'] ?? '').replaceAll(/%(?![0-9A-F]{2})/g, '%25')),
      };
  };
  stream.on('response', hear);
  stream.on('trailers', hear);
  stream.on('error', () => {});
  stream.resume();
  const timer = setTimeout(() => {
    said ??= { status: 'open', message: '' };
    stream.close(constants.NGHTTP2_CANCEL);
  }, options.patience ?? 20_000);
  stream.once('close', () => {
    clearTimeout(timer);
    resolve(said ?? { status: `reset ${stream.rstCode}`, message: '' });
  });
  for (const body of bodies) stream.write(frame(body));
  stream.end();
  return promise;
}

/** Runs `work` over all items, so many at a time. */
export async function inParallel<T>(
  items: Iterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

const LONG_AGO = 1_000_000_000;

/** Files, links and directories where ways out of a daemon's directories would lead. Old, so that a look at one shows. */
export function layDecoys(directory: string): void {
  mkdirSync(path.join(directory, 'inner'), { recursive: true });
  writeFileSync(path.join(directory, 'there'), 'untouched');
  writeFileSync(path.join(directory, 'inner/file'), 'untouched');
  symlinkSync('..', path.join(directory, 'inner/up'));
  symlinkSync('there', path.join(directory, 'link'));
  for (const name of ['there', 'inner/file', 'inner', '.']) utimesSync(path.join(directory, name), LONG_AGO, LONG_AGO);
}

/** Every name below a directory with what would change if anybody wrote to it, or read a file. */
export function tree(top: string, leaveOut: readonly string[] = []): string[] {
  const lines: string[] = [];
  const walk = (at: string): void => {
    if (leaveOut.includes(at)) return;
    const info = lstatSync(at);
    const shown = info.isSymbolicLink() ? readlinkSync(at) : info.isFile() ? `${info.size} read ${info.atimeMs}` : '';
    lines.push(`${at} ${info.mode.toString(8)} ${info.uid} inode ${info.ino} changed ${info.mtimeMs} ${shown}`);
    if (info.isDirectory()) for (const name of readdirSync(at).toSorted()) walk(path.join(at, name));
  };
  walk(top);
  return lines;
}

/** Names with the canary in them, anywhere below. */
export function canariesBelow(top: string): string[] {
  return readdirSync(top, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes(canary));
}

/** Mounts of this machine that are not below these directories, where other tests may be at work. */
export const mountsOutside = (...directories: readonly string[]): string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ').slice(0, 3).join(' '))
    .filter((line) => !directories.some((directory) => line.includes(` ${directory}/`)));

/** Files below a directory that are mounted, or were, as devices. */
export const loopsWithin = (directory: string): string[] =>
  readdirSync('/sys/block')
    .filter((name) => /^loop\d+$/.test(name))
    .map((name) => path.join('/sys/block', name, 'loop/backing_file'))
    .filter((file) => existsSync(file) && readFileSync(file, 'utf8').includes(directory));

/** Megabytes that a process has in memory. */
export const megabytesOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

/** Writes to a socket, waits a little, hangs up. Gives what came back. */
export async function say(socketPath: string, ...pieces: readonly (string | Uint8Array)[]): Promise<Buffer> {
  const socket = connect(socketPath);
  const heard: Buffer[] = [];
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => heard.push(chunk));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  for (const piece of pieces) socket.write(piece);
  await Promise.race([closed, sleep(60)]);
  socket.destroy();
  return Buffer.concat(heard);
}

/** An HTTP/2 frame, whatever it says. */
export function http2Frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = new Uint8Array(),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** What every HTTP/2 connection begins with, and a header block for a call, uncompressed. */
export const preface = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), http2Frame(4, 0, 0)]);

export function headerBlock(target: string, more: Readonly<Record<string, string>> = {}): Buffer {
  const headers = { ':method': 'POST', ':scheme': 'http', ':path': target, ':authority': 'x', te: 'trailers' };
  const all = { ...headers, 'content-type': 'application/grpc', 'containerd-namespace': 'attack', ...more };
  return Buffer.concat(
    Object.entries(all).map(([name, value]) => Buffer.concat([Buffer.from([0]), hpack(name), hpack(value)])),
  );
}

function hpack(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const rest: number[] = [];
  let length = bytes.length - 127;
  for (; length >= 128; length = Math.floor(length / 128)) rest.push((length % 128) | 128);
  return Buffer.concat([Buffer.from([127, ...rest, length]), bytes]);
}
