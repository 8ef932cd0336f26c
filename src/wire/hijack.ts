import type { Duplex, Readable, Writable } from 'node:stream';
import { HakoError } from '#base/errors.ts';

/**
 * The incoming bytes of a taken-over connection, beginning with those that came along with the request's head. Ends
 * when the other side closes its half; our own half stays open, for a client that closed its input still wants output.
 */
export async function* incoming(socket: Readable, head: Uint8Array): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  // The plain iterator would destroy the whole socket at its end, and with it the output still to come.
  yield* socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
}

/** Writes, and resolves when more is welcome. Rejects when the connection ends before that. */
export function write(socket: Writable, data: Uint8Array): Promise<void> {
  if (socket.destroyed || socket.writableEnded) return Promise.reject(closed());
  if (socket.write(data)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.off('drain', onDrain).off('close', onClose);
    };
    const onDrain = (): void => (settle(), resolve());
    const onClose = (): void => (settle(), reject(closed()));
    socket.on('drain', onDrain).on('close', onClose);
  });
}

/**
 * Closes our half and waits until the other side has closed too, at most `graceMs`. What still comes in is thrown away:
 * closing over unread bytes would reset the connection, and the peer could lose the end of our output.
 */
export async function finish(socket: Duplex, graceMs: number): Promise<void> {
  if (socket.destroyed) return;
  const over = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const timer = setTimeout(() => socket.destroy(), graceMs);
  socket.once('end', () => {
    if (socket.writableFinished) socket.destroy();
    else socket.once('finish', () => socket.destroy());
  });
  socket.end();
  socket.resume();
  if (socket.readableEnded) socket.once('finish', () => socket.destroy());
  await over;
  clearTimeout(timer);
}

/**
 * Runs `gone` when the peer of a unix socket has closed both halves. The end of input alone does not tell: a client that
 * has no more input looks the same. Writing nothing does: the kernel answers EPIPE once nobody can read.
 */
export function watchPeer(socket: Duplex, everyMs: number): Disposable {
  const probe = (): void => {
    if (!socket.destroyed && socket.writableLength === 0 && !socket.writableEnded) socket.write(nothing);
  };
  let timer: NodeJS.Timeout | undefined;
  const onEnd = (): void => {
    probe();
    timer = setInterval(probe, everyMs);
  };
  const dispose = (): void => {
    socket.off('end', onEnd).off('close', dispose);
    clearInterval(timer);
  };
  socket.once('end', onEnd).once('close', dispose);
  return { [Symbol.dispose]: dispose };
}

const nothing = new Uint8Array(0);
const closed = (): HakoError => new HakoError('cancelled', 'the other side closed the connection');
