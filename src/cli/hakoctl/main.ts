import { Failure } from '../failure.ts';
import { print } from '../output.ts';
import { dispatch } from './dispatch.ts';

/** Runs one command line; resolves with the exit code. Only what the command needs is loaded. */
export async function main(words: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  try {
    return await dispatch(words, environment);
  } catch (error) {
    if (error instanceof Failure) {
      if (error.message !== '') print(2, `hakoctl: ${error.message}\n`);
      return error.exitCode;
    }
    // Nothing that a person can act on has a stack; for what remains it is the only trace.
    print(2, `hakoctl: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return 1;
  }
}
