import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { invalid } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { CAP_SYS_RESOURCE, hasCapability } from '#sys/process.ts';

/** What we look at in an OCI process. */
export interface SpecProcess {
  args?: string[];
  terminal?: boolean;
  oomScoreAdj?: number;
}

/** What we look at in an OCI runtime spec. */
export interface Spec {
  process?: SpecProcess;
  linux?: { namespaces?: { type: string; path?: string }[] };
}

const mayLowerOomScore = hasCapability(CAP_SYS_RESOURCE);
const ownOomScore = Number(readFileSync('/proc/self/oom_score_adj', 'latin1'));

/**
 * Makes the OOM score one that this process may set: lowering it needs CAP_SYS_RESOURCE, and runc without it dies with
 * words about a pipe. True when it was changed.
 */
export function clampOomScore(process: SpecProcess, who: string, logger: Logger): boolean {
  const wanted = process.oomScoreAdj;
  if (wanted === undefined || wanted >= ownOomScore || mayLowerOomScore) return false;
  logger.log('warn', `oomScoreAdj ${wanted} of "${who}" needs CAP_SYS_RESOURCE, which we lack: ${ownOomScore} is used`);
  process.oomScoreAdj = ownOomScore;
  return true;
}

/** Reads a bundle's config.json, and corrects there what this host would not let the runtime do. */
export function readSpec(bundle: string, logger: Logger): Spec {
  const file = path.join(bundle, 'config.json');
  const spec = parse(readFileSync(file, 'utf8'), file);
  if (spec.process !== undefined && clampOomScore(spec.process, bundle, logger)) {
    writeFileSync(file, JSON.stringify(spec));
  }
  return spec;
}

function parse(text: string, file: string): Spec {
  try {
    return JSON.parse(text) as Spec;
  } catch (error) {
    throw invalid(`"${file}" is not JSON`, error);
  }
}

/** Whether the container has a process namespace of its own, whose first process takes all others with it. */
export const ownsProcesses = (spec: Spec): boolean =>
  spec.linux?.namespaces?.some((namespace) => namespace.type === 'pid' && (namespace.path ?? '') === '') ?? false;

/** Whether there is something to run in it: the spec of a sandbox need not say anything. */
export const namesProcess = (spec: Spec): boolean => (spec.process?.args?.length ?? 0) > 0;

/** Lets the container of a bundle join a network namespace, in place of one of its own. */
export function setNetns(bundle: string, netns: string): void {
  const file = path.join(bundle, 'config.json');
  const spec = parse(readFileSync(file, 'utf8'), file);
  const others = (spec.linux?.namespaces ?? []).filter(({ type }) => type !== 'network');
  spec.linux = { ...spec.linux, namespaces: [...others, { type: 'network', path: netns }] };
  writeFileSync(file, JSON.stringify(spec));
}
