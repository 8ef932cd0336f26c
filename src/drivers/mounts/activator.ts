import { lstat, mkdir, readdir, readFile, readlink, rm, rmdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, HakoError, messageOf } from '#base/errors.ts';
import type { Activated, ActivationId, Activator, ActiveMount } from '#core/activations.ts';
import type { Mount } from '#core/mounts.ts';
import { closeFd } from '#sys/fd.ts';
import { attachLoop, detachLoop } from '#sys/loop.ts';
import { mountAll, unmountAll } from '#sys/mount.ts';
import { formatMount } from './format.ts';
import { makeDirectories } from './mkdir.ts';
import { makeFileSystem } from './mkfs.ts';

export interface ActivatorOptions {
  /** Where mounts are made; lost at reboot, as they are. */
  readonly state: string;
  /** Where directories and images may be made, beside `state`. */
  readonly roots: readonly string[];
}

type Step = (mount: Mount, before: readonly ActiveMount[]) => Promise<Mount> | Mount;

/** More than any image has layers. */
const mostMounts = 255;

/**
 * Mounts with words before their type: `format/` fills in what earlier mounts gave, `mkdir/` and `mkfs/` make what the
 * mount needs. The type `loop` is a device and no mount. Each lies under `state/ID/N` in its order, so that what a killed
 * daemon left can be undone from the disk alone.
 */
export class StateActivator implements Activator {
  readonly #state: string;
  readonly #steps: ReadonlyMap<string, Step>;

  private constructor({ state, roots }: ActivatorOptions) {
    this.#state = state;
    const all = [state, ...roots];
    this.#steps = new Map<string, Step>([
      ['format', formatMount],
      ['mkdir', (mount) => makeDirectories(mount, all)],
      ['mkfs', (mount) => makeFileSystem(mount, all)],
    ]);
  }

  static async start(options: ActivatorOptions): Promise<StateActivator> {
    await mkdir(options.state, { recursive: true, mode: 0o700 });
    return new StateActivator(options);
  }

  async activate(
    id: ActivationId,
    mounts: readonly Mount[],
    { temporary }: { readonly temporary: boolean },
    signal: AbortSignal,
  ): Promise<Activated> {
    if (mounts.length > mostMounts)
      throw new HakoError(
        'invalid-argument',
        `${mounts.length} mounts are more than the ${mostMounts} that go at once`,
      );
    const plans = mounts.map((mount) => this.#plan(mount));
    const ours = temporary ? mounts.length : plans.reduce((most, plan, n) => Math.max(most, countOurs(plan, n)), -1);
    if (ours < 0 || mounts.length === 0)
      throw new HakoError('unimplemented', 'none of the mounts needs to be activated: mount them: not implemented');
    const directory = path.join(this.#state, id);
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.deactivate(id));
    await mkdir(directory, { mode: 0o700 });
    const active: ActiveMount[] = [];
    for (const [n, plan] of plans.slice(0, ours).entries()) {
      signal.throwIfAborted();
      active.push(await this.#make(await prepare(plan, active), path.join(directory, String(n).padStart(3, '0'))));
    }
    const next = plans[ours];
    const system = next === undefined ? [] : [await prepare(next, active), ...mounts.slice(ours + 1)];
    const last = active.at(-1);
    if (temporary && last !== undefined) system.push({ type: 'bind', source: last.mountPoint, options: ['rbind'] });
    undo.move();
    return { active, system };
  }

  async deactivate(id: ActivationId): Promise<void> {
    const directory = path.join(this.#state, id);
    const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (names === undefined) return;
    // Later ones may stand on earlier ones.
    for (const name of names
      .filter((one) => /^[0-9]+$/.test(one))
      .toSorted()
      .toReversed())
      await this.#undo(path.join(directory, name));
    await rm(directory, { recursive: true });
  }

  async list(): Promise<ActivationId[]> {
    const names = await readdir(this.#state);
    return names.filter((name) => /^[0-9]{1,15}$/.test(name)) as ActivationId[];
  }

  #plan(mount: Mount): Plan {
    const steps: Step[] = [];
    let { type } = mount;
    for (let slash = type.indexOf('/'); slash >= 0; slash = type.indexOf('/')) {
      const step = this.#steps.get(type.slice(0, slash));
      if (step === undefined) break;
      steps.push(step);
      type = type.slice(slash + 1);
    }
    return { mount: { ...mount, type }, steps };
  }

  async #make(mount: Mount, place: string): Promise<ActiveMount> {
    const mountedAt = new Date();
    try {
      if (mount.type === 'loop') {
        const { path: device, fd } = attachLoop(mount.source, { readonly: mount.options.includes('ro') });
        closeFd(fd);
        try {
          await writeFile(`${place}.loop`, mount.source);
          await symlink(device, place);
        } catch (error) {
          detachLoop(device, mount.source);
          throw error;
        }
      } else {
        await mkdir(place, { mode: 0o700 });
        mountAll([mount], place);
      }
    } catch (error) {
      throw new HakoError(codeOf(error), `mount of type "${mount.type}" failed: ${messageOf(error)}`, error);
    }
    return { mount, mountedAt, mountPoint: place, data: {} };
  }

  async #undo(place: string): Promise<void> {
    if ((await lstat(place)).isSymbolicLink()) {
      detachLoop(await readlink(place), await readFile(`${place}.loop`, 'utf8'));
      await rm(place);
      return;
    }
    unmountAll(place);
    // Only ever empty: what is still mounted must not be emptied through it.
    await rmdir(place);
  }
}

interface Plan {
  /** With the type that is left when the steps have been made. */
  readonly mount: Mount;
  readonly steps: readonly Step[];
}

/** How many mounts, counted from the first, are ours because of this one. One that is only prepared is the caller's to make. */
const countOurs = ({ mount, steps }: Plan, n: number): number =>
  mount.type === 'loop' ? n + 1 : steps.length > 0 ? n : -1;

async function prepare({ mount, steps }: Plan, before: readonly ActiveMount[]): Promise<Mount> {
  let ready = mount;
  for (const step of steps) ready = await step(ready, before);
  return ready;
}
