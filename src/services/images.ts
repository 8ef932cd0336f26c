import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { Image } from '#core/images.ts';

export type NewImage = Omit<Image, 'createdAt' | 'updatedAt'> & { readonly createdAt?: Date };

/** Names of images. */
export class Images {
  get(_call: Call, _name: string): Image {
    throw unimplemented('images.get');
  }
  find(_call: Call, _name: string): Image | undefined {
    throw unimplemented('images.find');
  }
  list(_call: Call, _filters: readonly string[]): Image[] {
    throw unimplemented('images.list');
  }
  create(_call: Call, _image: NewImage): Promise<Image> {
    throw unimplemented('images.create');
  }
  update(_call: Call, _image: NewImage, _paths: readonly string[]): Promise<Image> {
    throw unimplemented('images.update');
  }
  /** `sync` waits until what nothing else holds is gone from disk. */
  delete(_call: Call, _name: string, _options: { sync: boolean }): Promise<void> {
    throw unimplemented('images.delete');
  }
}
