import { HakoError } from '#base/errors.ts';
import { formatReference, normalizeReference } from '#base/reference.ts';
import { FLAT_PREFIX, GcGraph, type GcFacts, type GcTables } from './gc-graph.ts';
import { splitKey, type NodeKey } from './gc-rules.ts';

export interface Question {
  /** A digest or the beginning of one, a snapshot's key, an image's name, the id of anything else. */
  readonly subject: string;
  /** Empty: all. */
  readonly namespace: string;
  /** Empty: all. */
  readonly snapshotter: string;
}

export interface Step {
  readonly key: NodeKey;
  /** How the step before leads here; of the first, why it is a root. */
  readonly relation: string;
}

export interface Explanation {
  readonly subject: NodeKey;
  /** From a root to the subject; empty when nothing holds it. */
  readonly path: readonly Step[];
  /** When all that holds it has expired, in milliseconds since 1970. */
  readonly until?: number;
}

/** Whoever means so many things at once has to say more. */
const MOST_SUBJECTS = 100;
const SHORTEST_PREFIX = 4;

/** Why things that `subject` may mean are kept. not-found when there is none. */
export function explain(tables: GcTables, facts: GcFacts, question: Question): Explanation[] {
  const graph = new GcGraph(tables, facts);
  const subjects = subjectsOf(graph, question);
  if (subjects.length === 0) {
    throw new HakoError(
      'not-found',
      `${JSON.stringify(question.subject)} is no digest, snapshot, image, container, lease or upload that is here: not found`,
    );
  }
  if (subjects.length > MOST_SUBJECTS) {
    throw new HakoError(
      'invalid-argument',
      `${JSON.stringify(question.subject)} means ${subjects.length} things: give more characters`,
    );
  }
  return subjects.map((node) => explainNode(graph, node));
}

function subjectsOf(graph: GcGraph, { subject, namespace, snapshotter }: Question): number[] {
  if (subject === '') throw new HakoError('invalid-argument', 'the subject must not be empty');
  const image = imageName(subject);
  const subjects: number[] = [];
  for (const [node, key] of graph.keys.entries()) {
    const row = graph.rows[node];
    if (row === undefined) continue;
    const [kind, space, name] = splitKey(key);
    if (namespace !== '' && space !== namespace) continue;
    if (snapshotter !== '' && !(kind === 'snapshot' && name.startsWith(`${snapshotter}/`))) continue;
    if (means(kind, name, subject, image) || row.names?.includes(subject)) subjects.push(node);
  }
  return subjects;
}

function means(kind: string, name: string, subject: string, image: string | undefined): boolean {
  if (kind === 'snapshot') return name.slice(name.indexOf('/') + 1) === subject;
  if (name === subject) return true;
  if (kind === 'image') return name === image;
  if (subject.length < SHORTEST_PREFIX) return false;
  if (kind === 'content') return name.startsWith(subject) || name.slice(name.indexOf(':') + 1).startsWith(subject);
  return kind === 'container' && name.startsWith(subject);
}

/** The whole name of a short one; undefined for what cannot be an image. */
function imageName(subject: string): string | undefined {
  try {
    return formatReference(normalizeReference(subject));
  } catch {
    return undefined;
  }
}

function explainNode(graph: GcGraph, node: number): Explanation {
  const subject = graph.keys[node]!;
  const held = (until?: number): boolean => graph.mark(until)[node] === 1;
  if (!held()) return { subject, path: [] };
  if (held(Infinity)) return { subject, path: pathTo(graph, node, Infinity) };
  // The latest time at which something still holds it: what is later does not, what is earlier does too.
  const times = expiries(graph);
  let low = 0;
  for (let high = times.length - 1; low < high;) {
    const middle = Math.ceil((low + high) / 2);
    if (held(times[middle])) low = middle;
    else high = middle - 1;
  }
  const until = times[low]!;
  return { subject, path: pathTo(graph, node, until), until };
}

function expiries(graph: GcGraph): number[] {
  const times = new Set<number>();
  for (const { until } of graph.roots.values()) if (until !== undefined) times.add(until);
  for (const edges of graph.edges) for (const { until } of edges) if (until !== undefined) times.add(until);
  return [...times].toSorted((a, b) => a - b);
}

/** The shortest way from a root, among those that hold until `until` or longer. */
function pathTo(graph: GcGraph, node: number, until: number): Step[] {
  const ends = new Set([node, graph.flat.get(node) ?? node]);
  const cameFrom = new Map<number, { from: number; by: string } | undefined>();
  const lasts = (end: number | undefined): boolean => (end ?? Infinity) >= until;
  for (const [root, { until: end }] of graph.roots) if (lasts(end)) cameFrom.set(root, undefined);
  for (const from of cameFrom.keys()) {
    if (ends.has(from)) return stepsTo(graph, from, cameFrom);
    for (const edge of graph.edges[from]!) {
      if (lasts(edge.until) && !cameFrom.has(edge.to)) cameFrom.set(edge.to, { from, by: edge.by });
    }
  }
  return [];
}

function stepsTo(
  graph: GcGraph,
  end: number,
  cameFrom: ReadonlyMap<number, { from: number; by: string } | undefined>,
): Step[] {
  const steps: Step[] = [];
  for (let node = end; ;) {
    const before = cameFrom.get(node);
    const key = graph.keys[node]!;
    const flat = key.startsWith(FLAT_PREFIX);
    const by = before?.by ?? graph.roots.get(node)!.why;
    const relation = by === 'lease' && flat ? 'flat lease' : by.startsWith('containerd.io/') ? `label ${by}` : by;
    steps.unshift({ key: flat ? key.slice(FLAT_PREFIX.length) : key, relation });
    if (before === undefined) return steps;
    node = before.from;
  }
}
