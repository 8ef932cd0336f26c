import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { differDiffSuite } from '#core/suites/differ-diff.ts';
import { differSuite, type DifferUnderTest } from '#core/suites/differ.ts';
import { TarDiffer } from './differ.ts';

async function open(): Promise<DifferUnderTest> {
  const state = await mkdtemp(path.join(os.tmpdir(), 'hako-differ-state-'));
  const differ = await TarDiffer.start(state);
  return {
    differ,
    [Symbol.asyncDispose]: async () => {
      differ[Symbol.dispose]();
      await rm(state, { recursive: true, force: true });
    },
  };
}

differSuite('TarDiffer', open);
differDiffSuite('TarDiffer', open);
