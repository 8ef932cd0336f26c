import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { differSuite } from '#core/suites/differ.ts';
import { TarDiffer } from './differ.ts';

differSuite('TarDiffer', async () => {
  const state = await mkdtemp(path.join(os.tmpdir(), 'hako-differ-state-'));
  const differ = await TarDiffer.start(state);
  return {
    differ,
    [Symbol.asyncDispose]: async () => {
      differ[Symbol.dispose]();
      await rm(state, { recursive: true, force: true });
    },
  };
});
