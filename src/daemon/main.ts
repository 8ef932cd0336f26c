import { hakod } from './hakod.ts';

let end = (code: number): void => process.exit(code);

// The house is only loaded by a daemon that serves: `hakod config default` needs none of it.
const code = await hakod(process.argv.slice(2), async (options) => {
  end = (await import('#sys/exit.ts')).exitNow;
  const { buildHouse } = await import('./house.ts');
  return buildHouse(options);
});
// Whatever still holds the event loop belongs to nobody now; containers and shims are processes of their own.
end(code);
