import { HakoError, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { defaultConfig, loadConfig } from './config/load.ts';
import { printConfig } from './config/print.ts';
import { schema, type Config } from './config/schema.ts';
import { parseCommandLine, usage, type CommandLine } from './flags.ts';
import { createLogger } from './log.ts';
import { runOciHook } from './oci-hook.ts';
import { serve, type BuildHouse } from './serve.ts';
import { version } from './version.ts';

/** Runs one command line of hakod. Resolves with its exit code: 2 for a wrong command line, 1 for any other failure. */
export async function hakod(args: readonly string[], buildHouse: BuildHouse): Promise<number> {
  let line: CommandLine;
  try {
    line = parseCommandLine(args);
  } catch (error) {
    complain(error);
    return 2;
  }
  try {
    return await run(line, buildHouse);
  } catch (error) {
    complain(error);
    return 1;
  }
}

async function run(line: CommandLine, buildHouse: BuildHouse): Promise<number> {
  switch (line.command) {
    case 'help':
      process.stdout.write(usage);
      return 0;
    case 'version':
      process.stdout.write(`hakod ${version} (Node ${process.version})\n`);
      return 0;
    case 'config default':
      process.stdout.write(printConfig(schema, defaultConfig(), { comments: true }));
      return 0;
    case 'config dump':
      return dump(line);
    case 'oci-hook':
      return runOciHook(line.hook ?? []);
    case 'serve': {
      const { config, warnings, files } = loadConfig(line.config, line.overrides);
      const logger = createLogger(config.debug);
      for (const warning of warnings) logger.log('warn', warning);
      logger.log('debug', 'configuration read', { files });
      exitOnStrayErrors(logger);
      return serveAndReport(config, logger, buildHouse);
    }
  }
}

async function serveAndReport(config: Config, logger: Logger, buildHouse: BuildHouse): Promise<number> {
  try {
    return await serve(config, logger, buildHouse);
  } catch (error) {
    // A HakoError says all there is to say; anything else is a fault of ours that needs its place.
    logger.log('fatal', messageOf(error), error instanceof HakoError ? {} : { error });
    return 1;
  }
}

function dump(line: CommandLine): number {
  const { config, warnings, files } = loadConfig(line.config, line.overrides);
  for (const warning of warnings) process.stderr.write(`hakod: warning: ${warning}\n`);
  for (const file of files) process.stdout.write(`# read from ${file}\n`);
  // What was imported stands below already.
  process.stdout.write(printConfig(schema, { ...config, imports: [] }, { comments: false }));
  return 0;
}

/** An error that nobody caught leaves the process in a state that nobody knows: say so, and start again clean. */
function exitOnStrayErrors(logger: Logger): void {
  const end = (error: unknown, what: string): never => {
    logger.log('fatal', `${what}: ${messageOf(error)}`, { error });
    process.exit(1);
  };
  process.on('uncaughtException', (error) => end(error, 'uncaught error'));
  process.on('unhandledRejection', (error) => end(error, 'unhandled rejection'));
}

function complain(error: unknown): void {
  process.stderr.write(`hakod: ${messageOf(error)}\n`);
  if (!(error instanceof HakoError) && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
}
