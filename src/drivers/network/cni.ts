import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { HakoError } from '#base/errors.ts';

/** A network configuration for one plugin, as the CNI spec has it. */
export type CniConfig = Readonly<Record<string, unknown>> & { readonly type: string };

/** What a plugin answers to ADD (CNI spec 0.4.0 and 1.0.0, section Result). */
export interface CniResult {
  readonly cniVersion?: string;
  readonly interfaces?: readonly { readonly name?: string; readonly mac?: string; readonly sandbox?: string }[];
  readonly ips?: readonly { readonly address?: string; readonly gateway?: string; readonly interface?: number }[];
  readonly routes?: readonly unknown[];
  readonly dns?: { readonly nameservers?: readonly string[]; readonly search?: readonly string[] };
}

export interface CniCall {
  readonly command: 'ADD' | 'DEL' | 'VERSION';
  readonly containerId: string;
  /** '' when the namespace is gone (DEL). */
  readonly netns: string;
  readonly interfaceName: string;
}

/** Where distributions and people put CNI plugins, first hit first. */
export const pluginDirectories: readonly string[] = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];

/** A plugin waits for iptables' lock at worst; one that takes longer hangs. */
const timeout = 60_000;
const maxOutput = 1024 * 1024;

/** Runs CNI plugins. They are programs: configuration on standard input, the call in the environment. */
export class Cni {
  readonly #directories: readonly string[];

  constructor(directories: readonly string[] = pluginDirectories) {
    this.#directories = directories;
  }

  find(type: string): string | undefined {
    return this.#directories.map((directory) => path.join(directory, type)).find(isExecutable);
  }

  /** failed-precondition that names what to install. */
  require(types: readonly string[]): void {
    const missing = types.filter((type) => this.find(type) === undefined);
    if (missing.length === 0) return;
    const names = missing.map((name) => `"${name}"`).join(', ');
    throw new HakoError(
      'failed-precondition',
      `CNI plugin ${names} not found in ${this.#directories.join(', ')}: install the plugins (Debian package containernetworking-plugins), or use --network host or none`,
    );
  }

  /** One call of one plugin. Errors are the plugin's own words in one line. */
  async run(config: CniConfig, call: CniCall, signal: AbortSignal): Promise<CniResult> {
    const program = this.find(config.type);
    if (program === undefined) this.require([config.type]);
    const limit = AbortSignal.timeout(timeout);
    const { code, output, complaint } = await execute(
      program ?? config.type,
      {
        CNI_COMMAND: call.command,
        CNI_CONTAINERID: call.containerId,
        CNI_NETNS: call.netns,
        CNI_IFNAME: call.interfaceName,
        CNI_PATH: this.#directories.join(':'),
        // Plugins look for iptables there; a daemon that a person started may lack the directories of sbin.
        PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin`.replace(/^:/, ''),
      },
      JSON.stringify(config),
      AbortSignal.any([signal, limit]),
    ).catch((error: unknown) => {
      signal.throwIfAborted();
      const why = limit.aborted ? `did not answer within ${timeout / 1000} s` : 'did not start';
      throw new HakoError(
        limit.aborted ? 'deadline-exceeded' : 'unavailable',
        `CNI plugin "${config.type}" (${call.command}): ${why}`,
        error,
      );
    });
    if (code !== 0)
      throw new HakoError(
        'unavailable',
        `CNI plugin "${config.type}" (${call.command}): ${reason(output, complaint, code)}`,
      );
    if (output.trim() === '') return {};
    try {
      return JSON.parse(output) as CniResult;
    } catch (error) {
      throw new HakoError(
        'unavailable',
        `CNI plugin "${config.type}" (${call.command}): its answer is not JSON`,
        error,
      );
    }
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** CNI spec, section Error: `msg` and `details` on standard output. */
function reason(output: string, complaint: string, code: number | null): string {
  let text = complaint.trim();
  try {
    const { msg = '', details = '' } = JSON.parse(output) as { msg?: string; details?: string };
    text = [msg, details].filter((part) => part !== '').join('; ') || text;
  } catch {
    // Not one of the spec's errors: whatever it said.
  }
  const line = text.replace(/\s*\n\s*/g, '; ').slice(0, 1000);
  return line === '' ? `ended with exit code ${String(code)}` : line;
}

interface Outcome {
  readonly code: number | null;
  readonly output: string;
  readonly complaint: string;
}

async function execute(
  program: string,
  env: Record<string, string>,
  input: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  const child = spawn(program, [], { env, stdio: ['pipe', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
  let output = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (output.length > maxOutput) child.kill('SIGKILL');
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = `${complaint}${text}`.slice(-4000);
  });
  child.once('error', reject);
  child.once('close', (code) => resolve({ code, output, complaint }));
  // A plugin that ends without reading is told by its exit code.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return promise;
}
