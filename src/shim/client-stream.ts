import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { HakoError, invalid } from '#base/errors.ts';
import { closeFd, O_APPEND, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, openFd } from '#sys/fd.ts';
import { logProgramOf, type LogProgramPlace } from './log-program.ts';
import type { Sink } from './pump/messages.ts';

/** Where a client's words for a stream lead: nowhere, to a FIFO, to a file, or into a program. */
export type Place =
  | { readonly kind: 'none' }
  | { readonly kind: 'fifo' | 'file'; readonly path: string }
  | LogProgramPlace;

/** Reads a path or URI (`fifo://`, `file://`, `binary://`). not-found when a path names nothing. */
export function placeOf(stream: string): Place {
  if (stream === '') return { kind: 'none' };
  const match = /^([a-z0-9-]+):\/\/(.*)$/s.exec(stream);
  if (match === null) return { kind: kindOf(stream), path: stream };
  const [, scheme, rest] = match as unknown as [string, string, string];
  const path = decodeURIComponent(rest.split('?')[0]!);
  if (scheme === 'fifo') return { kind: kindOf(path), path };
  if (scheme === 'file') return { kind: 'file', path };
  if (scheme === 'binary') return logProgramOf(stream);
  throw invalid(`failed to create init process I/O: unknown STDIO scheme ${scheme}`);
}

/** A place that the client has made, or may have us make. */
export type ClientPlace = Exclude<Place, LogProgramPlace>;

function kindOf(path: string): 'fifo' | 'file' {
  try {
    return statSync(path).isFIFO() ? 'fifo' : 'file';
  } catch (error) {
    const what = `containerd-shim: opening file "${path}" failed: open ${path}: no such file or directory`;
    throw new HakoError('not-found', `failed to start io pipe copy: unable to copy pipes: ${what}`, error);
  }
}

/** Opens where a client wants output. Whoever waits to read the FIFO goes on; whoever leaves never blocks us. */
export function openSink(place: ClientPlace): Sink | undefined {
  if (place.kind === 'none') return undefined;
  const { kind, path } = place;
  if (kind === 'file') return { kind, path, fd: openOutputFile(path) };
  // Opening for writing alone fails while nobody reads, so for a moment we are the reader.
  const rendezvous = openFd(path, O_RDWR | O_NONBLOCK);
  try {
    return { kind, path, fd: openFd(path, O_WRONLY | O_NONBLOCK) };
  } finally {
    closeFd(rendezvous);
  }
}

/** Opens a client's stream as a process's own. Both ways, so that no reader's leaving sends it SIGPIPE. */
export function openDirect(place: ClientPlace): number | 'ignore' {
  if (place.kind === 'none') return 'ignore';
  return place.kind === 'fifo' ? openFd(place.path, O_RDWR) : openOutputFile(place.path);
}

/** With the directories above it, as containerd's shim makes them. */
function openOutputFile(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true)
    throw invalid(`failed to create init process I/O: open ${file}: is a directory`);
  return openFd(file, O_WRONLY | O_APPEND | O_CREAT, 0o644);
}

/** Opens the FIFO that a client writes input to. Both ways: a client that is missing, or leaves, is no end. */
export const openInput = (path: string): number => openFd(path, O_RDWR | O_NONBLOCK);

/** Opens a file as a process's input. */
export const openInputFile = (path: string): number => openFd(path, O_RDONLY);
