import { formatReference, type Reference } from '#base/reference.ts';
import { progressBar } from '#base/units.ts';
import type { PullProgress } from '#services/pull.ts';
import type { PushProgress } from '#services/push.ts';

/** One line of progress: what Docker calls a JSONMessage. `id` is a row on the client's screen. */
export interface ProgressLine {
  readonly status?: string;
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  /** The bar, drawn for clients too old to draw it themselves. */
  readonly progress?: string;
  readonly aux?: unknown;
}

/** A line that only moves a bar may be left out when there are many; the others may not. */
export interface Step {
  readonly line: ProgressLine;
  readonly moving: boolean;
}

const barEveryMs = 100;

const shortId = (digest: string): string => digest.slice(digest.indexOf(':') + 1).slice(0, 12);
const said = (status: string, id: string): Step => ({ line: { status, progressDetail: {}, id }, moving: false });

function moving(status: string, id: string, bytes: number, total: number): Step {
  const detail = total > 0 ? { current: bytes, total } : { current: bytes };
  return { line: { status, progressDetail: detail, progress: progressBar(bytes, total), id }, moving: true };
}

type LayerEvent = Extract<PullProgress, { kind: 'layer' }>;

/** A layer's way through a pull in the order Docker tells it, whatever the pipeline left out or did at once. */
class Layer {
  #told: 'nothing' | 'named' | 'fetched' | 'done' = 'nothing';
  #movedAt = -Infinity;

  next(event: LayerEvent, now: number): Step[] {
    const id = shortId(event.digest);
    if (this.#told === 'done') return [];
    const steps: Step[] = [];
    if (event.stage === 'exists') {
      this.#told = 'done';
      return [said('Already exists', id)];
    }
    if (this.#told === 'nothing') {
      this.#told = 'named';
      steps.push(said('Pulling fs layer', id));
      if (event.stage === 'waiting') steps.push(said('Waiting', id));
    }
    const fetched = event.stage === 'downloaded' || event.stage === 'extracting' || event.stage === 'done';
    if (fetched && this.#told === 'named') {
      this.#told = 'fetched';
      steps.push(said('Verifying Checksum', id), said('Download complete', id));
    }
    if (event.stage === 'done') {
      this.#told = 'done';
      steps.push(said('Pull complete', id));
    }
    // Extraction may run along with the download: one row cannot show two bars, so the later stage stays.
    const bar = event.stage === 'extracting' ? 'Extracting' : event.stage === 'downloading' ? 'Downloading' : undefined;
    if (bar !== undefined && !(bar === 'Downloading' && this.#told === 'fetched') && this.#due(event, now)) {
      steps.push(moving(bar, id, event.bytes, event.total));
    }
    return steps;
  }

  #due(event: LayerEvent, now: number): boolean {
    if (event.bytes < event.total && now - this.#movedAt < barEveryMs) return false;
    this.#movedAt = now;
    return true;
  }
}

/** Turns a pull's events into Docker's lines. */
export class PullLines {
  readonly #layers = new Map<string, Layer>();
  readonly #reference: Reference;

  constructor(reference: Reference) {
    this.#reference = reference;
  }

  next(event: PullProgress, now = performance.now()): Step[] {
    switch (event.kind) {
      case 'resolved': {
        const id = this.#reference.tag ?? this.#reference.digest ?? 'latest';
        return [{ line: { status: `Pulling from ${this.#reference.path}`, id }, moving: false }];
      }
      case 'layer': {
        const layer = this.#layers.get(event.digest) ?? new Layer();
        this.#layers.set(event.digest, layer);
        return layer.next(event, now);
      }
      case 'object':
      case 'saved':
      case 'timing':
        return [];
    }
  }
}

const pushWords = {
  waiting: 'Preparing',
  pushing: 'Pushing',
  pushed: 'Pushed',
  exists: 'Layer already exists',
  mounted: 'Mounted from another repository',
} as const satisfies Record<PushProgress['stage'], string>;

/** Turns a push's events into Docker's lines. */
export class PushLines {
  readonly #stages = new Map<string, PushProgress['stage']>();
  #movedAt = -Infinity;

  next(event: PushProgress, now = performance.now()): Step[] {
    const id = shortId(event.digest);
    const word = pushWords[event.stage];
    if (event.stage === 'pushing') {
      if (event.bytes < event.total && now - this.#movedAt < barEveryMs) return [];
      this.#movedAt = now;
      return [moving(word, id, event.bytes, event.total)];
    }
    if (this.#stages.get(event.digest) === event.stage) return [];
    this.#stages.set(event.digest, event.stage);
    return [said(word, id)];
  }
}

/** The repository of a push, in full, as Docker prints it. */
export const repository = ({ domain, path }: Reference): string => formatReference({ domain, path });
