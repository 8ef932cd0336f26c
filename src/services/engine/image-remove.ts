import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';
import type { Image } from '#core/images.ts';
import type { EngineObject } from './types.ts';
import { ignoreMissing, type EngineHouse } from './house.ts';
import { familiarOr, findImage, repositoryOf, type FoundImage } from './image-model.ts';
import { imageGroups } from './images.ts';
import { recordOf } from './record.ts';
import { isAlive, standingOf } from './resolve.ts';

const short = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12);
const conflict = (message: string): HakoError => new HakoError('conflict', `conflict: ${message}`);

/**
 * `DELETE /images/{name}`: takes a name away, and with its last one the image. By id all names go, when they are of one
 * repository or it is forced. conflict in Docker's words while a container was made from it.
 */
export async function imageRemove(
  house: EngineHouse,
  call: Call,
  ref: string,
  options: { force: boolean; prune: boolean },
): Promise<EngineObject[]> {
  const found = await findImage(house, call, ref);
  const names = (await imageGroups(house, call)).find((group) => group.model.id === found.model.id)?.names ?? [
    found.image,
  ];
  const users = usersOf(house, call, found);
  const going = found.byName
    ? nameAlone(found, ref, names, users, options)
    : allNames(house, call, found, names, users, options);
  const records: EngineObject[] = [];
  for (const { name } of going) {
    // With the last one, what nothing else holds is gone from disk before the client hears of it.
    const last = going.length === names.length && name === going.at(-1)?.name;
    await ignoreMissing(house.images.delete(call, name, { sync: last }));
    records.push({ Untagged: familiarOr(name) });
  }
  if (going.length === names.length && users.length === 0) {
    records.push({ Deleted: found.model.id });
    for (const layer of (found.model.config.rootfs?.diff_ids ?? []).toReversed()) records.push({ Deleted: layer });
  }
  return records;
}

function usersOf(house: EngineHouse, call: Call, { model, image }: FoundImage): Container[] {
  return [...house.containers.list(call, [])].filter((container) => {
    const record = recordOf(container);
    return record === undefined ? container.image === image.name : record.imageId === model.id;
  });
}

/** The one name, with the digests of its repository when no tag of that is left. */
function nameAlone(
  { image, model }: FoundImage,
  ref: string,
  names: readonly Image[],
  users: readonly Container[],
  options: { force: boolean },
): Image[] {
  const repository = repositoryOf(image.name);
  const others = names.filter(({ name }) => name !== image.name);
  const tagged = others.some(({ name }) => repositoryOf(name) === repository && !name.includes('@'));
  const digests = tagged ? [] : others.filter(({ name }) => repositoryOf(name) === repository);
  const user = users[0];
  if (others.length === digests.length && user !== undefined && !options.force) {
    throw conflict(
      `unable to remove repository reference "${ref}" (must force) - container ${short(user.id)} is using its referenced image ${short(model.id)}`,
    );
  }
  return [image, ...digests];
}

function allNames(
  house: EngineHouse,
  call: Call,
  { model }: FoundImage,
  names: readonly Image[],
  users: readonly Container[],
  options: { force: boolean },
): readonly Image[] {
  const running = users.find(({ id }) => isAlive(standingOf(house, call, id)));
  if (running !== undefined) {
    throw conflict(
      `unable to delete ${short(model.id)} (cannot be forced) - image is being used by running container ${short(running.id)}`,
    );
  }
  if (options.force) return names;
  const tags = names.filter(({ name }) => !name.includes('@'));
  if (tags.length > 1)
    throw conflict(
      `unable to delete ${short(model.id)} (must be forced) - image is referenced in multiple repositories`,
    );
  const user = users[0];
  if (user !== undefined) {
    throw conflict(
      `unable to delete ${short(model.id)} (must be forced) - image is being used by stopped container ${short(user.id)}`,
    );
  }
  return names;
}
