import { randomInt } from 'node:crypto';
import type { Call } from '#base/call.ts';
import { HakoError, invalid } from '#base/errors.ts';
import type { EngineHouse } from './house.ts';

const allowed = '[a-zA-Z0-9][a-zA-Z0-9_.-]';
const pattern = new RegExp(`^${allowed}+$`);
/** containerd's limit on identifiers does not bind names, but somebody's memory should. */
const maxLength = 255;

/** A name as the ledger keeps it, without Docker's slash. invalid-argument in Docker's words. */
export function checkName(name: string): string {
  const bare = name.startsWith('/') ? name.slice(1) : name;
  if (!pattern.test(bare) || bare.length > maxLength) {
    throw invalid(
      `Invalid container name (${name.length > maxLength ? `${name.slice(0, maxLength)}…` : name}), only ${allowed} are allowed`,
    );
  }
  return bare;
}

/** Holds a name for a container that is about to be made. conflict in Docker's words when it is taken. */
export function reserveName(house: EngineHouse, call: Call, name: string, id: string): void {
  house.ledger.transaction(() => {
    const holder = house.ledger.names.holder(call.namespace, name);
    if (holder !== undefined && holder !== id) {
      throw new HakoError(
        'conflict',
        `Conflict. The container name "/${name}" is already in use by container "${holder}". ` +
          'You have to remove (or rename) that container to be able to reuse that name.',
      );
    }
    house.ledger.names.reserve(call.namespace, name, id);
  });
}

/** Holds a made-up name that is free, or the id's beginning when chance is against us. */
export function reserveGeneratedName(house: EngineHouse, call: Call, id: string): string {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const name = generateName(attempt > 5);
    if (house.ledger.names.holder(call.namespace, name) !== undefined) continue;
    reserveName(house, call, name, id);
    return name;
  }
  const name = id.slice(0, 12);
  reserveName(house, call, name, id);
  return name;
}

const adjectives = `
  amber ample ancient ashen autumn balmy blithe bold breezy bright brisk bronze calm candid cedar cheery clear clever
  coastal copper coral cosy crisp curious dappled daring dewy drifting eager early earnest easy ember even fabled fair
  faithful fearless fleet fond frank free fresh gentle gilded glad gleaming golden good graceful grand green hale happy
  hardy hazel hearty hidden high humble hushed ivory jade jolly jovial keen kind lasting leafy level light lilac lively
  lofty loyal lucid lucky lunar maple mellow merry mild mindful misty mossy neat nimble noble northern opal open patient
  pearly placid plain plucky polished proud quaint quick quiet radiant ready restful rosy rustic sandy serene shady
  shining silken silver simple sincere smooth snowy snug solid spirited spry starry steady still stout sturdy sunny
  swift tender thrifty tidal tidy tranquil trusty upbeat valiant velvet vivid warm watchful western whole wild willing
  windy wise witty young zesty
`
  .trim()
  .split(/\s+/);

const nouns = `
  albatross anchor anvil aspen atoll badger bamboo barge barley basin bay beacon beaver birch bison bobbin bramble bridge
  brook buoy cabin canoe canopy caravel cask cliff clipper cloud clover comet compass condor cove crane crest cricket
  current cutter cypress dahlia delta dolphin dory dove dune eagle egret elm estuary falcon fern ferry finch fjord flint
  fox galleon garnet gecko geyser ginkgo glacier glade grove gull hamlet harbour hare hawk heath hedge heron hill holly
  iris island ivy jetty juniper kayak keel kelp kestrel kite lagoon lantern larch lark laurel lighthouse lily linden lock
  loom lotus lynx magpie mango marlin marsh mast meadow mill moor narwhal oak oasis orca orchard osprey otter owl oyster
  paddle palm pebble pelican pier pine plover pond poplar porpoise prairie puffin quartz quay raft rapids raven reed reef
  ridge river robin rudder sail salmon sampan sandbar schooner seal shoal shore skiff sloop spruce squall starling stork
  strait sturgeon swallow swan teal tern thicket thistle tide tiller topaz tortoise tulip turnip valley violet walrus
  warbler wharf willow wren yacht yew zephyr
`
  .trim()
  .split(/\s+/);

const pick = (words: readonly string[]): string => words[randomInt(words.length)] ?? '';

/** Two words of ours, and a digit when names get scarce. */
export function generateName(crowded = false): string {
  return `${pick(adjectives)}_${pick(nouns)}${crowded ? randomInt(10) : ''}`;
}
