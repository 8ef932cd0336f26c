import { print } from '../output.ts';
import { ownVersion } from '../version.ts';

/** `hakoctl`, the low-level command line at the containerd door. Its commands are still to come. */
export function main(words: readonly string[]): number {
  const [first] = words;
  if (first === '--version' || first === '-v') {
    print(1, `hakoctl version ${ownVersion()}\n`);
    return 0;
  }
  const what = first === undefined || first.startsWith('-') ? 'its commands are' : `"${first}" is`;
  print(
    2,
    `hakoctl: ${what} not implemented yet: use "ctr --address /run/hakobune/hakobune.sock" for now, or "hako"\n`,
  );
  return 1;
}
