import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import { promisify } from 'node:util';
import { formatDigest, parseDigest, type DigestAlgorithm } from '#base/digest.ts';
import { HakoError } from '#base/errors.ts';
import { serveThread } from '#base/threads.ts';
import type { IngestRequest, Opened } from './ingests.ts';

/** Writes uploads to disk and hashes them, beside the event loop. One thread serves many uploads at once. */

interface Upload {
  readonly directory: string;
  readonly fd: number;
  hash: Hash;
  size: number;
  /** Set when a write failed and what is on disk could not be brought back to `size`. */
  broken: Error | undefined;
}

const uploads = new Map<string, Upload>();
const fdatasync = promisify(fs.fdatasync);
const fsync = promisify(fs.fsync);

function find(id: string): Upload {
  const upload = uploads.get(id);
  if (upload === undefined) throw new HakoError('failed-precondition', `ingest "${id}" is not open`);
  return upload;
}

/** Hashes a file's first `size` bytes in slices, so that the thread's other uploads go on meanwhile. */
async function hashFile(fd: number, size: number, algorithm: DigestAlgorithm, check: () => void): Promise<Hash> {
  const hash = createHash(algorithm);
  const buffer = Buffer.allocUnsafeSlow(1024 * 1024);
  for (let at = 0; at < size;) {
    check();
    const length = fs.readSync(fd, buffer, 0, Math.min(buffer.length, size - at), at);
    if (length === 0) throw new HakoError('data-loss', `ingest file ended at ${at} bytes of ${size}`);
    hash.update(buffer.subarray(0, length));
    at += length;
    await breathe();
  }
  return hash;
}

async function open(id: string, directory: string, check: () => void): Promise<Opened> {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const fd = fs.openSync(
    `${directory}/data`,
    fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW,
    0o600,
  );
  try {
    const { size } = fs.fstatSync(fd);
    const hash = await hashFile(fd, size, 'sha256', check);
    uploads.set(id, { directory, fd, hash, size, broken: undefined });
    return { offset: size };
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

function append(id: string, data: Uint8Array): void {
  const upload = find(id);
  if (upload.broken !== undefined) throw upload.broken;
  try {
    for (let done = 0; done < data.length;) {
      done += fs.writeSync(upload.fd, data, done, data.length - done, upload.size + done);
    }
  } catch (error) {
    // The file holds what was hashed and no more, or an upload that goes on later would have a hole in it.
    upload.broken = error as Error;
    fs.ftruncateSync(upload.fd, upload.size);
    throw error;
  }
  upload.hash.update(data);
  upload.size += data.length;
}

async function truncate(id: string, size: number, check: () => void): Promise<void> {
  const upload = find(id);
  if (size > upload.size)
    throw new HakoError('out-of-range', `ingest "${id}": cannot truncate ${upload.size} bytes to ${size}`);
  fs.ftruncateSync(upload.fd, size);
  upload.hash = await hashFile(upload.fd, size, 'sha256', check);
  upload.size = size;
  upload.broken = undefined;
}

type Commit = Extract<IngestRequest, { do: 'commit' }>;

async function commit({ id, blobs, size, digest }: Commit, check: () => void): Promise<string> {
  const upload = find(id);
  if (upload.broken !== undefined) throw upload.broken;
  if (size !== undefined && size !== upload.size) {
    throw new HakoError(
      'failed-precondition',
      `unexpected commit size ${upload.size}, expected ${size}: failed precondition`,
    );
  }
  const algorithm = digest === undefined ? 'sha256' : parseDigest(digest).algorithm;
  const hash = algorithm === 'sha256' ? upload.hash.copy() : await hashFile(upload.fd, upload.size, algorithm, check);
  const actual = formatDigest(hash, algorithm);
  if (digest !== undefined && digest !== actual) {
    throw new HakoError(
      'failed-precondition',
      `unexpected commit digest ${actual}, expected ${digest}: failed precondition`,
    );
  }
  fs.fchmodSync(upload.fd, 0o444);
  await fdatasync(upload.fd);
  check();
  // A blob that is there already is replaced: what was just verified is better than what once was.
  const home = `${blobs}/${algorithm}`;
  fs.renameSync(`${upload.directory}/data`, `${home}/${actual.slice(algorithm.length + 1)}`);
  await syncShared(home);
  close(id);
  fs.rmSync(upload.directory, { recursive: true, force: true });
  return actual;
}

const syncing = new Map<string, Promise<void>>();

/** One fsync of the directory for all that are renamed into it in the same breath: small blobs come in dozens. */
function syncShared(directory: string): Promise<void> {
  let shared = syncing.get(directory);
  if (shared === undefined) {
    shared = (async () => {
      await breathe();
      syncing.delete(directory);
      const fd = fs.openSync(directory, fs.constants.O_RDONLY);
      try {
        await fsync(fd);
      } finally {
        fs.closeSync(fd);
      }
    })();
    syncing.set(directory, shared);
  }
  return shared;
}

function close(id: string, movedAt?: number): void {
  const upload = uploads.get(id);
  if (upload === undefined) return;
  uploads.delete(id);
  try {
    if (movedAt !== undefined) fs.futimesSync(upload.fd, movedAt / 1e6, movedAt / 1e6);
  } finally {
    fs.closeSync(upload.fd);
  }
}

serveThread((request: IngestRequest, check) => {
  switch (request.do) {
    case 'open':
      return open(request.id, request.directory, check);
    case 'append':
      return append(request.id, new Uint8Array(request.buffer, 0, request.length));
    case 'truncate':
      return truncate(request.id, request.size, check);
    case 'digest':
      return formatDigest(find(request.id).hash.copy());
    case 'commit':
      return commit(request, check);
    case 'close':
      return close(request.id, request.movedAt);
  }
});
