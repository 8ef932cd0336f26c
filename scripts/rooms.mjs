// Checks that no import breaks the table of rooms: node scripts/rooms.mjs [SRC]

import { join } from 'node:path';
import { house } from './lib/house.mjs';
import { checkRooms } from './lib/rooms.mjs';

const faults = checkRooms(process.argv[2] ?? join(house, 'src'));
for (const fault of faults) process.stderr.write(`${fault}\n`);
if (faults.length > 0) {
  process.stderr.write(`rooms: ${faults.length} imports break the table in scripts/lib/rooms.mjs\n`);
  process.exitCode = 1;
}
