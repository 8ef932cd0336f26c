import type { Call } from '#base/call.ts';
import { HakoError } from '#base/errors.ts';
import { familiar } from '#base/reference.ts';
import type { Labels } from '#core/any.ts';
import type { Descriptor, Digest, Platform } from '#core/images.ts';
import type { Content } from './content.ts';
import { samePlatform } from './pull-choice.ts';
import { isIndex, isLayer, isManifest, maxJson, parseIndex, parseManifest } from './pull-manifest.ts';
import { ObjectTrack } from './pull-progress.ts';

const maxDepth = 4;

export interface PlanParts {
  readonly content: Content;
  /** Empty or undefined: all. */
  readonly platforms: readonly Platform[] | undefined;
  /** Whether the registry has, or can have from a repository in `labels`, a blob that is not here. */
  readonly reach: (blob: Descriptor, labels: Labels) => Promise<boolean>;
}

/** What goes to the registry: blobs in any order, then manifests from the inside out. */
export interface PushPlan {
  readonly blobs: readonly Descriptor[];
  readonly manifests: readonly Descriptor[];
}

type Found = PushPlan | { readonly missing: Digest };

/** Finds out what of an image is to be sent, as far as it is here. */
export class PushPlanner {
  readonly #parts: PlanParts;
  readonly #call: Call;
  readonly #name: string;
  readonly track: ObjectTrack;

  constructor(parts: PlanParts, call: Call, name: string) {
    this.#parts = parts;
    this.#call = call;
    this.#name = name;
    this.track = new ObjectTrack(name);
  }

  /** not-found when something is missing that cannot be left out. */
  async plan(target: Descriptor): Promise<PushPlan> {
    const found = await this.#collect(target, 0);
    if (!('missing' in found)) return found;
    throw new HakoError(
      'not-found',
      `image "${familiar(this.#name)}": ${found.missing} is not here: pull the image again before pushing it`,
    );
  }

  async #collect(target: Descriptor, depth: number): Promise<Found> {
    const { content } = this.#parts;
    const info = content.find(this.#call, target.digest);
    if (info === undefined) return { missing: target.digest };
    if (isManifest(target)) return this.#collectManifest(target, info.labels);
    if (isIndex(target) && depth <= maxDepth) return this.#collectIndex(target, depth);
    // An index may hold more than manifests; alone such a thing is no image.
    if (depth > 0 && !isIndex(target)) return { blobs: [target], manifests: [] };
    throw new HakoError('failed-precondition', `"${target.digest}": "${target.mediaType}" is no image`);
  }

  async #collectManifest(target: Descriptor, labels: Labels): Promise<Found> {
    const { content, reach } = this.#parts;
    const { config, layers } = parseManifest(target, await content.readAll(this.#call, target.digest, maxJson));
    this.track.lead(target, [config, ...layers]);
    const blobs: Descriptor[] = [];
    for (const one of [config, ...layers]) {
      if (content.find(this.#call, one.digest) !== undefined) blobs.push(one);
      // Whoever made a foreign layer keeps it: registries take its manifest without it.
      else if (!isForeignLayer(one) && !(await reach(one, labels))) return { missing: one.digest };
    }
    return { blobs, manifests: [target] };
  }

  /**
   * Registries want all children of an index. Where only one image of it is here, it goes alone, as Docker has it; where
   * several are here but not all, the registry may have the rest, and decides.
   */
  async #collectIndex(target: Descriptor, depth: number): Promise<Found> {
    const children = parseIndex(target, await this.#parts.content.readAll(this.#call, target.digest, maxJson));
    const whole: { child: Descriptor; plan: PushPlan }[] = [];
    let missing: Digest | undefined;
    for (const child of children) {
      const found = this.#isWanted(child) ? await this.#collect(child, depth + 1) : { missing: child.digest };
      if ('missing' in found) missing ??= found.missing;
      else whole.push({ child, plan: found });
    }
    if (missing !== undefined) {
      const images = whole.filter(({ child }) => child.platform !== undefined && child.platform.os !== 'unknown');
      const [only, ...others] = images.length > 0 ? images : whole;
      if (only === undefined) return { missing };
      if (others.length === 0) return only.plan;
    }
    this.track.lead(target, children);
    const blobs = whole.flatMap(({ plan }) => plan.blobs);
    return { blobs, manifests: [...whole.flatMap(({ plan }) => plan.manifests), target] };
  }

  #isWanted({ platform }: Descriptor): boolean {
    const { platforms = [] } = this.#parts;
    if (platforms.length === 0 || platform === undefined) return true;
    return platforms.some((one) => samePlatform(one, platform));
  }
}

const isForeignLayer = (target: Descriptor): boolean =>
  isLayer(target) && /\.(?:nondistributable|foreign)\./.test(target.mediaType);
