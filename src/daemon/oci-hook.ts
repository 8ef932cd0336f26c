import { readFileSync } from 'node:fs';
import path from 'node:path';
import { HakoError, messageOf } from '#base/errors.ts';

/** The parts of an OCI runtime's state (runtime-spec, "State") that a hook's arguments may ask for. */
interface HookState {
  readonly id: string;
  readonly status: string;
  readonly pid: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * `hakod oci-hook PROGRAM ARG…` as a hook of a container: fills in what stands in braces, in arguments and environment,
 * from the state that the runtime gives on stdin, and becomes that program.
 */
export function runOciHook(words: readonly string[]): never {
  const args = words[0] === '--' ? words.slice(1) : words;
  const [program] = args;
  if (program === undefined) throw new HakoError('invalid-argument', 'oci-hook: name the program to run');
  const state = readState(readFileSync(0, 'utf8'));
  const environment = Object.entries(process.env).map(([name, value]) => [name, fillIn(value ?? '', state)]);
  const filled = args.map((arg) => fillIn(arg, state));
  process.execve?.(filled[0] ?? program, filled, Object.fromEntries(environment));
  throw new HakoError('unimplemented', 'oci-hook: this system cannot run one program in place of another');
}

/** Reads the state, and from the bundle that it names where the root file system is. */
export function readState(text: string): HookState {
  const state = parse(text, 'the state on stdin');
  const bundle = word(state['bundle']);
  if (bundle === '') throw new HakoError('invalid-argument', 'oci-hook: the state on stdin names no bundle');
  const file = path.join(bundle, 'config.json');
  const root = word((parse(readFileSync(file, 'utf8'), file)['root'] as { path?: unknown } | undefined)?.path);
  return {
    id: word(state['id']),
    status: word(state['status']),
    pid: String(Number(state['pid'] ?? 0)),
    bundle,
    rootfs: path.resolve(bundle, root),
    annotations: Object.fromEntries(
      Object.entries(state['annotations'] ?? {}).map(([key, value]) => [key, word(value)]),
    ),
  };
}

const action = /(\s*)\{\{(- )?\s*(.*?)\s*( -)?\}\}(\s*)/gs;
const fields = ['id', 'status', 'pid', 'bundle', 'rootfs'] as const;

/** Replaces {{id}}, {{annotation "key"}} and the like; a dash inside the braces eats the white space on its side. */
export function fillIn(text: string, state: HookState): string {
  const filled = text.replace(
    action,
    (_all, before: string, eatBefore: string | undefined, what: string, eatAfter: string | undefined, after: string) =>
      (eatBefore === undefined ? before : '') + valueOf(what, state) + (eatAfter === undefined ? after : ''),
  );
  if (text.replace(action, '').includes('{{')) throw unknown(text);
  return filled;
}

function valueOf(what: string, state: HookState): string {
  const field = fields.find((one) => one === what);
  if (field !== undefined) return state[field];
  const [, quoted, raw] = /^annotation\s+(?:("(?:[^"\\]|\\.)*")|`([^`]*)`)$/.exec(what) ?? [];
  const key = quoted === undefined ? raw : word(JSON.parse(quoted));
  if (key === undefined) throw unknown(`{{${what}}}`);
  return state.annotations[key] ?? '';
}

const unknown = (what: string): HakoError =>
  new HakoError(
    'invalid-argument',
    `oci-hook: ${what} is not known: there are {{${fields.join('}}, {{')}}} and {{annotation "KEY"}}`,
  );

function parse(text: string, what: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new HakoError('invalid-argument', `oci-hook: ${what} is not JSON: ${messageOf(error)}`, error);
  }
}

const word = (value: unknown): string => (typeof value === 'string' ? value : '');
