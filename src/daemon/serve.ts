import { HakoError, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { joinCgroup } from './cgroup.ts';
import type { Config } from './config/schema.ts';
import { lockDirectories } from './lock.ts';
import { notifySystemd } from './notify.ts';
import { applyOomScore } from './oom.ts';
import { thrift } from './thrift.ts';
import { version } from './version.ts';

export interface HouseOptions {
  readonly config: Config;
  readonly logger: Logger;
  /** Ends with the daemon: what runs for nobody in particular hangs on it. */
  readonly signal: AbortSignal;
}

/** Everything that serves. `close` lets running requests end, for a while, and then closes the ledger. */
export interface House {
  close(): Promise<void>;
}

export type BuildHouse = (options: HouseOptions) => Promise<House>;

/**
 * Runs the daemon until SIGTERM or SIGINT asks it to end; containers run on. A second signal ends it at once. Resolves
 * with the exit code.
 */
export async function serve(config: Config, logger: Logger, buildHouse: BuildHouse): Promise<number> {
  const notify = notifySystemd(process.env, logger);
  using stop = stopSignals(logger);
  using _locks = lockDirectories(config);
  using _thrift = thrift();
  applyOomScore(config.oom_score, logger);
  joinCgroup(config.cgroup.path);
  logger.log('info', 'hakod is starting', { version, pid: process.pid, root: config.root, state: config.state });

  const life = new AbortController();
  let house: House;
  try {
    house = await raceStop(buildHouse({ config, logger, signal: life.signal }), stop.asked, life);
  } catch (error) {
    life.abort(error);
    notify.stopping();
    if (error instanceof Stopped) return 0;
    throw error;
  }
  logger.log('info', 'hakod is serving', { address: config.grpc.address, docker: config.docker.address });
  notify.ready();

  const reason = await stop.asked;
  logger.log('info', 'hakod is stopping; containers run on', { reason });
  notify.stopping();
  const closed = await closeInTime(house, config.timeouts['hakobune.timeout.shutdown'], logger);
  life.abort(new HakoError('unavailable', 'the daemon is stopping'));
  logger.log('info', 'hakod has stopped');
  return closed ? 0 : 1;
}

/** A stop that was asked for while the house was still being built. */
class Stopped extends Error {}

/** Lets a stop end the building too: what was built until then is closed, however far it came. */
async function raceStop(building: Promise<House>, asked: Promise<string>, life: AbortController): Promise<House> {
  const stopped = asked.then((reason) => new Stopped(reason));
  const first = await Promise.race([building, stopped]);
  if (!(first instanceof Stopped)) return first;
  life.abort(new HakoError('unavailable', 'the daemon is stopping'));
  await building.then((house) => house.close()).catch(() => undefined);
  throw first;
}

async function closeInTime(house: House, milliseconds: number, logger: Logger): Promise<boolean> {
  // A few seconds more than the requests get: what is left after that hangs, and a kill -9 is what we survive anyway.
  const limit = AbortSignal.timeout(milliseconds + 5000);
  const late = new Promise<false>((resolve) => limit.addEventListener('abort', () => resolve(false), { once: true }));
  try {
    const done = await Promise.race([house.close().then(() => true), late]);
    if (!done) logger.log('error', 'stopping took too long: leaving the rest as after a kill');
    return done;
  } catch (error) {
    logger.log('error', 'stopping failed: leaving the rest as after a kill', { error: messageOf(error) });
    return false;
  }
}

function stopSignals(logger: Logger): Disposable & { readonly asked: Promise<string> } {
  const { promise: asked, resolve } = Promise.withResolvers<string>();
  let count = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    count += 1;
    if (count === 1) return resolve(signal);
    logger.log('warn', 'second signal: leaving at once', { signal });
    process.exit(1);
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  // A signal handler does not keep the event loop alive, and there may be a moment when nothing else does.
  const alive = setInterval(() => undefined, 2 ** 30);
  // A terminal that closes must not end a daemon, and neither must a log reader that leaves.
  const ignore = (): void => undefined;
  process.on('SIGHUP', ignore).on('SIGPIPE', ignore);
  return {
    asked,
    [Symbol.dispose]: () => {
      clearInterval(alive);
      process.off('SIGTERM', onSignal).off('SIGINT', onSignal).off('SIGHUP', ignore).off('SIGPIPE', ignore);
    },
  };
}
