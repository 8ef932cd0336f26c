import { Failure } from '../failure.ts';
import { print } from '../output.ts';
import { ownVersion } from '../version.ts';

/** Runs one command line; resolves with the exit code. Only what the command needs is loaded. */
export async function main(words: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  if (words.length === 1 && (words[0] === '--version' || words[0] === '-v')) {
    print(1, `Hakobune version ${ownVersion()}\n`);
    return 0;
  }
  try {
    const { dispatch } = await import('./dispatch.ts');
    return await dispatch(words, environment);
  } catch (error) {
    return report(error);
  }
}

function report(error: unknown): number {
  if (error instanceof Failure) {
    if (error.message !== '') print(2, `hako: ${error.message}\n`);
    return error.exitCode;
  }
  // Nothing that a person can act on has a stack; for what remains it is the only trace.
  print(2, `hako: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}
