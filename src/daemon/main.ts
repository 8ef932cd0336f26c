import { hakod } from './hakod.ts';

// The house is only loaded by a daemon that serves: `hakod config default` needs none of it.
process.exitCode = await hakod(process.argv.slice(2), async (options) => {
  const { buildHouse } = await import('./house.ts');
  return buildHouse(options);
});
// Whatever still holds the event loop belongs to nobody now; containers and shims are processes of their own.
process.exit();
