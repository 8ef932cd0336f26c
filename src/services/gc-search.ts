import { GcGraph, type GcFacts, type GcTables } from './gc-graph.ts';
import type { NodeKey } from './gc-rules.ts';

/** Something that nothing held when the search began. Plain data: it comes from a worker. */
export interface Garbage {
  readonly key: NodeKey;
  /** Of a snapshot or an upload: the row that was meant, should its name mean another one by now. */
  readonly id?: string;
  /** Undefined where the disk has to be asked. */
  readonly bytes?: number;
  /** Things that were not there, and would hold it by its own label if they were. */
  readonly absentHolders?: readonly NodeKey[];
}

/** Garbage that goes in one step: one thing, or several that hold each other in a circle. */
export interface GarbageGroup {
  /** Groups that hold this one, by their place in the order; all of them come before it. */
  readonly holders: readonly number[];
  readonly members: readonly Garbage[];
}

/** What one search found. */
export interface Found {
  /** When the next thing expires by itself, in milliseconds since 1970. */
  readonly nextExpiry: number | undefined;
  /** Holders before what they hold. */
  readonly groups: readonly GarbageGroup[];
}

/** Finds what nothing holds, in one snapshot of the ledger. Only reads. */
export function findGarbage(tables: GcTables, facts: GcFacts): Found {
  const graph = new GcGraph(tables, facts);
  const marked = graph.mark();
  const garbage: number[] = [];
  for (const [index, row] of graph.rows.entries()) {
    if (row !== undefined && marked[index] === 0 && isCollected(graph.keys[index]!)) garbage.push(index);
  }
  return { nextExpiry: graph.nextExpiry, groups: grouped(graph, garbage) };
}

/** Containers and sandboxes are never collected; they are roots anyway. */
const isCollected = (key: NodeKey): boolean => !key.startsWith('container\0') && !key.startsWith('sandbox\0');

function grouped(graph: GcGraph, garbage: readonly number[]): GarbageGroup[] {
  const isGarbage = new Uint8Array(graph.keys.length);
  for (const node of garbage) isGarbage[node] = 1;
  const circles = circlesOf(garbage, (node) =>
    graph.edges[node]!.map(({ to }) => to).filter((to) => isGarbage[to] === 1),
  );
  const groupOf = new Int32Array(graph.keys.length);
  for (const [index, members] of circles.entries()) for (const node of members) groupOf[node] = index;

  const holders: Set<number>[] = circles.map(() => new Set());
  const absent = new Map<number, NodeKey[]>();
  for (const [from, edges] of graph.edges.entries()) {
    if (isGarbage[from] === 0 && graph.rows[from] !== undefined) continue;
    for (const { to } of edges) {
      if (isGarbage[to] === 0) continue;
      if (isGarbage[from] === 0) absent.set(to, [...(absent.get(to) ?? []), graph.keys[from]!]);
      else if (groupOf[from] !== groupOf[to]) holders[groupOf[to]!]!.add(groupOf[from]!);
    }
  }
  return circles.map((members, index) => ({
    holders: [...holders[index]!],
    members: members.map((node) => {
      const { id, bytes } = graph.rows[node]!;
      const absentHolders = absent.get(node);
      return {
        key: graph.keys[node]!,
        ...(id === undefined ? {} : { id }),
        ...(bytes === undefined ? {} : { bytes }),
        ...(absentHolders === undefined ? {} : { absentHolders }),
      };
    }),
  }));
}

/**
 * Tarjan's strongly connected components, without recursion (a chain of trees may be long), holders first: the algorithm
 * gives them in the opposite order.
 */
function circlesOf(nodes: readonly number[], targets: (node: number) => number[]): number[][] {
  const order = new Map<number, number>();
  const low = new Map<number, number>();
  const open: number[] = [];
  const isOpen = new Set<number>();
  const circles: number[][] = [];
  const walk: { node: number; targets: number[]; at: number }[] = [];
  const enter = (node: number): void => {
    order.set(node, order.size);
    low.set(node, order.size - 1);
    open.push(node);
    isOpen.add(node);
    walk.push({ node, targets: targets(node), at: 0 });
  };
  const lower = (node: number, value: number): void => {
    if (value < low.get(node)!) low.set(node, value);
  };
  const leave = (node: number): void => {
    walk.pop();
    const above = walk.at(-1);
    if (above !== undefined) lower(above.node, low.get(node)!);
    if (low.get(node) !== order.get(node)) return;
    const circle = open.splice(open.lastIndexOf(node));
    for (const member of circle) isOpen.delete(member);
    circles.push(circle);
  };
  for (const start of nodes) {
    if (order.has(start)) continue;
    enter(start);
    for (let top = walk.at(-1); top !== undefined; top = walk.at(-1)) {
      const next = top.targets[top.at];
      top.at += 1;
      if (next === undefined) leave(top.node);
      else if (!order.has(next)) enter(next);
      else if (isOpen.has(next)) lower(top.node, order.get(next)!);
    }
  }
  return circles.toReversed();
}
