import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sweep } from '../scripts/lib/traces.mjs';

/** A directory for one benchmark; whatever still runs or is mounted in it afterwards goes with it. */
export function temporaryDirectory(undo: AsyncDisposableStack): string {
  return undo.adopt(mkdtempSync(join(tmpdir(), 'hb-')), (dir) => sweep(dir));
}

/** The first line of what a program says its version is, or that it is not there. */
export async function versionOf(
  [program, ...args]: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program!, args, { env, encoding: 'utf8' });
    return stdout.split('\n', 1)[0]!;
  } catch {
    return 'missing';
  }
}
