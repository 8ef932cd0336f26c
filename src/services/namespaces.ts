import { unimplemented } from '#base/errors.ts';
import type { Labels } from '#core/any.ts';

export interface Namespace {
  readonly name: string;
  readonly labels: Labels;
}

/** Administrative walls between clients. Not a security boundary. */
export class Namespaces {
  get(_name: string): Namespace {
    throw unimplemented('namespaces.get');
  }
  list(): Namespace[] {
    throw unimplemented('namespaces.list');
  }
  create(_namespace: Namespace): Promise<Namespace> {
    throw unimplemented('namespaces.create');
  }
  /** `paths` is a field mask (`labels`, `labels.KEY`); empty replaces all labels. */
  update(_namespace: Namespace, _paths: readonly string[]): Promise<Namespace> {
    throw unimplemented('namespaces.update');
  }
  /** failed-precondition while anything lives in it. */
  delete(_name: string): Promise<void> {
    throw unimplemented('namespaces.delete');
  }
}
