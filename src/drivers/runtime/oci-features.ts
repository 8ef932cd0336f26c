import { execFile } from 'node:child_process';
import { HakoError } from '#base/errors.ts';
import type { RuntimeFeatures } from '#core/runtime.ts';

const PATIENCE_MS = 5_000;

/**
 * What an OCI runtime can do, in its own words (runtime-spec, features.md). A runtime that does not know the question has
 * no features; not-found when there is no such program.
 */
export function ociFeatures(binary: string, signal: AbortSignal): Promise<RuntimeFeatures> {
  return new Promise((resolve, reject) => {
    const options = { signal, timeout: PATIENCE_MS, maxBuffer: 1024 * 1024 };
    execFile(binary, ['features'], options, (error, stdout) => {
      if (signal.aborted) return reject(signal.reason as Error);
      if (error?.code === 'ENOENT' || error?.code === 'EACCES') {
        const message = `failed to look up the path of ${JSON.stringify(binary)}: executable file not found in $PATH`;
        return reject(new HakoError('not-found', message, error));
      }
      return resolve({ binary, ...(error === null && isObject(stdout) ? { features: Buffer.from(stdout) } : {}) });
    });
  });
}

function isObject(json: string): boolean {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
  }
}
