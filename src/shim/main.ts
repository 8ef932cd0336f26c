import module from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const usage = `usage: hako-shim keeper --state DIR
       hako-shim serve --state DIR   (started by the keeper only)
`;

/** Flags that keep an idle process small: it moves little through its heap. */
const smallHeap = ['--max-semi-space-size=1', '--no-warnings'];

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options: { state: { type: 'string' } }, allowPositionals: true });
  const [verb] = positionals;
  const { state } = values;
  if (state === undefined || !path.isAbsolute(state)) throw new Error('--state must be an absolute path');
  // Private to root, unlike the default place: what is in it gets executed.
  module.enableCompileCache(path.join(state, 'shim', 'cache'));
  if (verb === 'keeper') {
    const { runKeeper } = await import('./keeper.ts');
    const self = fileURLToPath(import.meta.url);
    await runKeeper({
      directory: path.join(state, 'shim'),
      command: [process.execPath, ...smallHeap, self, 'serve', '--state', state],
    });
  } else if (verb === 'serve') {
    const { serve } = await import('./serve.ts');
    await serve(state);
  } else {
    throw new Error(`unknown command "${verb ?? ''}"`);
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`hako-shim: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
  process.exit(2);
});
