import type { Containerd } from '#client/containerd.ts';
import type { Flags, Parsed } from '../flags.ts';

/** The flags before the first command. */
export interface GlobalValues {
  readonly address: string;
  readonly namespace: string;
  /** Whether anybody named the namespace, or it is the usual one. */
  readonly namespaceGiven: boolean;
  readonly debug: boolean;
  /** Milliseconds; undefined is for ever. */
  readonly timeout: number | undefined;
  readonly connectTimeout: number | undefined;
}

/** What a command gets from the program around it. */
export interface Context {
  /** The daemon, in the chosen namespace. Connects at the first call. */
  readonly door: Containerd;
  readonly global: GlobalValues;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Values of the flags of the groups that the command is in (`snapshots --snapshotter X …`). */
  readonly group: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  /** The command and its arguments as they were written, without the global flags: to say what to type instead. */
  readonly words: readonly string[];
}

/** One command: its help, its flags, and what it does. Resolves with the exit code; nothing is 0. */
export interface Command<F extends Flags = Flags> {
  /** What stands behind the command's name: `[flags] <ref> [<ref>, ...]`. */
  readonly usage: string;
  /** What the command does, where its summary in the tree does not say enough. */
  readonly description?: string;
  readonly flags: F;
  /** How many arguments it takes: at least, at most. Nothing: any number, and it looks itself. */
  readonly takes?: readonly [least: number, most: number];
  /** Command lines without the program's name, and what they do. */
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** True for a command that works without a daemon. */
  readonly alone?: boolean;
  run(context: Context, parsed: Parsed<F>): Promise<number | void>;
}

/** Types a command by its own flags. */
export const command = <const F extends Flags>(definition: Command<F>): Command => definition;

/** A command in the tree. Its module is loaded only when it is the one that was asked for: every one costs start-up time. */
export interface Leaf {
  readonly summary: string;
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
  readonly load: () => Promise<Command>;
}

/** Commands under one name. */
export interface Group {
  readonly summary: string;
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
  /** Flags that stand before the command's name. */
  readonly flags?: Flags;
  readonly commands: Tree;
}

export type Tree = Readonly<Record<string, Leaf | Group>>;

export const isGroup = (node: Leaf | Group): node is Group => 'commands' in node;

/** The node of that name or alias. */
export function findNode(tree: Tree, word: string): readonly [name: string, node: Leaf | Group] | undefined {
  if (Object.hasOwn(tree, word)) return [word, tree[word]!];
  return Object.entries(tree).find(([, node]) => node.aliases?.includes(word) ?? false);
}
