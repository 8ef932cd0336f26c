import { readFileSync } from 'node:fs';

let inside: boolean | undefined;

/** Whether this process runs in a user namespace other than the host's first one (user_namespaces(7)). */
export function inUserNamespace(): boolean {
  if (inside === undefined) {
    try {
      inside = !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8').trim());
    } catch {
      // Kernels without user namespaces have no such file.
      inside = false;
    }
  }
  return inside;
}
