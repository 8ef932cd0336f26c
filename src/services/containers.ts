import type { Call } from '#base/call.ts';
import { unimplemented } from '#base/errors.ts';
import type { Container } from '#core/containers.ts';

export type NewContainer = Omit<Container, 'createdAt' | 'updatedAt'>;

/** Records of what is to be run. */
export class Containers {
  get(_call: Call, _id: string): Container {
    throw unimplemented('containers.get');
  }
  find(_call: Call, _id: string): Container | undefined {
    throw unimplemented('containers.find');
  }
  /** Filters in containerd's grammar; several are alternatives; none lists all. */
  list(_call: Call, _filters: readonly string[]): Container[] {
    throw unimplemented('containers.list');
  }
  create(_call: Call, _container: NewContainer): Promise<Container> {
    throw unimplemented('containers.create');
  }
  /** `paths` is a field mask in the proto's names; empty replaces what containerd lets be replaced. */
  update(_call: Call, _container: NewContainer, _paths: readonly string[]): Promise<Container> {
    throw unimplemented('containers.update');
  }
  /** failed-precondition while it has a task. */
  delete(_call: Call, _id: string): Promise<void> {
    throw unimplemented('containers.delete');
  }
}
