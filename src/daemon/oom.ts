import { readFileSync, writeFileSync } from 'node:fs';
import type { Logger } from '#base/log.ts';

/**
 * Sets how readily the kernel kills this process (proc_pid_oom_score_adj(5)). A lower value than the present one needs
 * CAP_SYS_RESOURCE; without it the daemon runs on with what it has, and says so.
 */
export function applyOomScore(score: number, logger: Logger, file = '/proc/self/oom_score_adj'): void {
  if (score === 0) return;
  try {
    writeFileSync(file, `${score}`);
  } catch (error) {
    const present = readFileSync(file, 'utf8').trim();
    logger.log('warn', `oom_score ${score} could not be set (needs CAP_SYS_RESOURCE): it stays ${present}`, {
      error: (error as NodeJS.ErrnoException).code,
    });
  }
}
