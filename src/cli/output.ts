import { write as writeFile, writeSync } from 'node:fs';

/**
 * Writes all of `text` to a descriptor at once. `process.stdout` would cost a listing milliseconds of start-up.
 * A reader that has gone (`hako ps | head -1`) ends the program quietly.
 */
export function print(fd: 1 | 2, text: string): void {
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(fd, bytes));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') process.exit(0);
      if (code !== 'EAGAIN') throw error;
      // Someone made our terminal or pipe non-blocking: give its reader a moment.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** Writes without holding the event loop, so that signals are seen while a reader is slow. Resolves when all is written. */
export async function pour(fd: number, data: Uint8Array): Promise<void> {
  let at = 0;
  while (at < data.length) {
    const { written, code } = await writeSome(fd, data, at);
    at += written;
    if (code === 'EAGAIN') await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function writeSome(fd: number, data: Uint8Array, at: number): Promise<{ written: number; code?: string }> {
  return new Promise((resolve, reject) => {
    writeFile(fd, data, at, data.length - at, null, (error, written) => {
      if (error === null) resolve({ written });
      else if (error.code === 'EAGAIN') resolve({ written: 0, code: 'EAGAIN' });
      else reject(error);
    });
  });
}
