import { codeOf, HakoError } from '#base/errors.ts';
import { containers, type Container } from '#client/containerd/containers.ts';
import { getProcess, type ProcessFacts } from '#client/containerd/removing.ts';
import type { Containerd } from '#client/containerd.ts';
import { invalid } from '#base/errors.ts';
import type { Context } from '../command.ts';
import { seeking } from '../seek.ts';

/** The first operand, which names a container. */
export function containerName(rest: readonly string[]): string {
  const [id] = rest;
  if (id === undefined || id === '') throw invalid('container id must be provided');
  return id;
}

const get = async (door: Containerd, id: string): Promise<Container> => (await containers(door).get({ id })).container!;

/** A container; where there is none, the error names the namespaces that have it. */
export const findContainer = (context: Context, id: string): Promise<Container> =>
  seeking(context, { kind: 'container', name: id, look: (door) => get(door, id) }, () => get(context.door, id));

/** The task of a container that is there, or a process of an exec. */
export async function findProcess(context: Context, id: string, execId = ''): Promise<ProcessFacts> {
  try {
    return await getProcess(context.door, id, execId);
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
    const what = execId === '' ? 'has no task: hakoctl tasks start starts one' : `has no process "${execId}"`;
    throw new HakoError('not-found', `container "${id}" ${what}`, error);
  }
}
