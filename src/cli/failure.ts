/** Ends a command with a code; with no message when everything has been said (a container's own exit code). */
export class Failure extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message = '') {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The command line itself is wrong: the message is followed by where help is. */
export class UsageFailure extends Failure {
  constructor(message: string, exitCode = 125) {
    super(exitCode, message);
  }
}
