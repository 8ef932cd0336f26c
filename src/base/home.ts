import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The directory that all of this lies in, run from its sources or from a bundle: the nearest above that holds package.json. */
export const home: string = nearestAbove(import.meta.dirname);

function nearestAbove(directory: string): string {
  if (existsSync(join(directory, 'package.json'))) return directory;
  const above = dirname(directory);
  if (above === directory) throw new Error('package.json is in no directory above: this installation is not whole');
  return nearestAbove(above);
}
