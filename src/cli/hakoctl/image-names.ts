import { codeOf, HakoError } from '#base/errors.ts';
import { nearest } from '#base/nearest.ts';
import { familiar } from '#base/reference.ts';
import { images, type Image } from '#client/containerd/images.ts';
import type { Containerd } from '#client/containerd.ts';
import type { Context } from './command.ts';
import { seeking, wholeName } from './seek.ts';

/** The image of that name, or of the whole name that a short one means. A name that exists as it stands wins. */
export async function imageIn(door: Containerd, name: string): Promise<Image> {
  const api = images(door);
  const get = async (full: string): Promise<Image> => (await api.get({ name: full })).image!;
  try {
    return await get(name);
  } catch (error) {
    const whole = wholeName(name);
    if (codeOf(error) !== 'not-found' || whole === name) throw error;
    return get(whole);
  }
}

/** As `imageIn`; where there is none, the error names the namespaces that have it, or the image that was probably meant. */
export async function findImage(context: Context, name: string): Promise<Image> {
  const sought = { kind: 'image', name, look: (door: Containerd) => imageIn(door, name) };
  try {
    return await seeking(context, sought, () => imageIn(context.door, name));
  } catch (error) {
    if (codeOf(error) !== 'not-found' || !(error instanceof HakoError) || error.message.includes('; ')) throw error;
    const meant = await nearestImage(context.door, name);
    throw meant === undefined ? error : new HakoError('not-found', `${error.message}; did you mean "${meant}"?`, error);
  }
}

/** The image whose short name is nearest: whole names are alike in all that nobody types. */
async function nearestImage(door: Containerd, name: string): Promise<string | undefined> {
  const { images: known } = await images(door).list({});
  const byShort = new Map(known.map((one) => [shortName(one.name, name), one.name]));
  return byShort.get(nearest(shortName(name, name), byShort.keys()) ?? '');
}

/** Without the registry and path that everybody means, and without a tag where none was typed. */
function shortName(name: string, typed: string): string {
  try {
    const short = familiar(name);
    return /[:@][^/]*$/.test(typed) ? short : short.replace(/[:@][^/]*$/, '');
  } catch {
    return name;
  }
}
