import type { Logger } from '#base/log.ts';

/** One JSON object a line on standard error, which the keeper was given as its log file. */
export function stderrLogger(who: string): Logger {
  return {
    log(level, message, fields) {
      process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, who, message, ...fields })}\n`);
    },
  };
}
