import { join } from 'node:path';
import { startDaemon } from '../scripts/lib/daemon.mjs';
import { house, privateBin } from '../scripts/lib/house.mjs';
import { inTurn, type Benchmark, type Side } from './harness.ts';
import { quote, Shell } from './shell.ts';
import { temporaryDirectory, versionOf } from './support.ts';

/** How long our command lines and their models take to start, ask the same daemon, print and end. */
export const cli: Benchmark = {
  name: 'cli',
  about: 'start-up of the command lines, all of them at the same hakod',
  async run({ rounds }, undo) {
    const dir = temporaryDirectory(undo);
    const daemon = undo.adopt(await startDaemon({ dir: join(dir, 'd') }), async (one) => void (await one.end()));
    const host = `unix://${daemon.dockerAddress}`;
    const shell = undo.use(
      new Shell(['sh'], { ...process.env, HAKO_HOST: host, DOCKER_HOST: host, DOCKER_CONFIG: join(dir, 'docker') }),
    );
    const hako = quote(join(house, 'bin/hako'));
    const docker = quote(join(privateBin, 'docker'));
    const ctr = quote(join(privateBin, 'ctr'));
    const lines: Record<string, string> = {
      'hako ps': `${hako} ps`,
      'docker ps': `${docker} ps`,
      'ctr c ls': `${ctr} -a ${quote(daemon.address)} c ls`,
      'hako --version': `${hako} --version`,
      'docker --version': `${docker} --version`,
    };
    const sides: Side[] = Object.entries(lines).map(([name, line]) => ({ name, run: () => shell.time(line) }));
    const facts = {
      docker: await versionOf([join(privateBin, 'docker'), '--version']),
      ctr: await versionOf([join(privateBin, 'ctr'), '--version']),
    };
    return { name: cli.name, about: cli.about, ours: 'hako ps', samples: await inTurn(sides, rounds), facts };
  },
};
