import { readFile } from 'node:fs/promises';
import { HakoError, invalid, messageOf } from '#base/errors.ts';
import { getSandbox, listSandboxes, removeSandbox, runSandbox, type Sandbox } from '#client/containerd/sandboxes.ts';
import { toDate } from '#client/containerd/times.ts';
import { parseExactly } from '#client/spec/spec-json.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { printJson, printTable } from '../listing.ts';
import { each, seeking } from '../seek.ts';
import { spaced } from '../tabs.ts';

export const run = command({
  usage: '[flags] <pod-config.json> <sandbox-id>',
  flags: {
    runtime: { kind: 'one', fallback: 'io.containerd.runc.v2', help: 'Runtime name' },
    sandboxer: { kind: 'one', fallback: 'shim', help: 'Sandbox controller that is to run it' },
  },
  takes: [2, 2],
  examples: [['sandboxes run pod.json one', 'the file holds an OCI runtime spec']],
  async run({ door }, { flags, rest }) {
    const [file = '', id = ''] = rest;
    const config = await readFile(file, 'utf8').catch((error: unknown) => {
      throw new HakoError('not-found', `failed to read sandbox config: ${messageOf(error)}`, error);
    });
    await runSandbox(door, {
      id,
      runtime: flags.runtime,
      sandboxer: flags.sandboxer,
      config,
      what: `sandbox config "${file}"`,
    });
    print(1, `${id}\n`);
  },
});

export const list = command({
  usage: '[flags]',
  flags: {
    filters: { kind: 'many', help: 'The list of filters to apply when querying sandboxes from the store' },
    json: { kind: 'on', help: 'Print JSON' },
  },
  examples: [['sandboxes list --filters id==one', 'one of them']],
  async run({ door }, { flags }) {
    printTable(
      {
        rows: await listSandboxes(door, flags.filters),
        titles: ['ID', 'CREATED', 'RUNTIME', ''],
        cells: ({ sandboxId, createdAt, runtime }) => [sandboxId, goTime(toDate(createdAt)), runtime?.name ?? '', ''],
        stops: spaced,
        name: ({ sandboxId }) => sandboxId,
        json: facts,
      },
      flags,
    );
  },
});

/** A time as Go prints one without being asked how: `2026-11-21 12:23:31.79338368 +0000 UTC`. */
const goTime = (time = '1970-01-01T00:00:00Z'): string => time.replace('T', ' ').replace('Z', ' +0000 UTC');

export const remove = command({
  usage: '<id> [<id>, ...]',
  flags: { force: { kind: 'on', short: 'f', help: 'Ignore shutdown errors when removing sandbox' } },
  takes: [1, Infinity],
  examples: [['sandboxes remove one', 'stops it first']],
  async run(context, { flags, rest }) {
    return each(rest, async (id) => {
      const sought = { kind: 'sandbox', name: id, look: (door: typeof context.door) => getSandbox(door, id) };
      await seeking(context, sought, () => getSandbox(context.door, id));
      await removeSandbox(context.door, id, flags.force);
      print(1, `${id}\n`);
    });
  },
});

export const info = command({
  usage: '<sandbox id>',
  flags: {},
  examples: [['sandboxes info one', 'as JSON']],
  async run(context, { rest }) {
    const [id = ''] = rest;
    if (id === '') throw invalid('sandbox id must be provided');
    const sought = { kind: 'sandbox', name: id, look: (door: typeof context.door) => getSandbox(door, id) };
    printJson(facts(await seeking(context, sought, () => getSandbox(context.door, id))));
  },
});

type Packed = { readonly typeUrl: string; readonly value: Uint8Array };

const packed = (any: Packed | undefined): object | null =>
  any === undefined
    ? null
    : {
        ...(any.typeUrl === '' ? {} : { type_url: any.typeUrl }),
        ...(any.value.length === 0 ? {} : { value: Buffer.from(any.value).toString('base64') }),
      };

/** A sandbox in the shape that Go prints, its spec readable. */
function facts(sandbox: Sandbox): object {
  const { sandboxId, labels, runtime, spec, sandboxer, extensions } = sandbox;
  return {
    ID: sandboxId,
    Labels: labels,
    Runtime: { Name: runtime?.name ?? '', Options: packed(runtime?.options) },
    Spec: spec === undefined || spec.value.length === 0 ? null : parseExactly(Buffer.from(spec.value).toString()),
    Sandboxer: sandboxer,
    CreatedAt: toDate(sandbox.createdAt),
    UpdatedAt: toDate(sandbox.updatedAt),
    Extensions: Object.fromEntries(Object.entries(extensions).map(([name, any]) => [name, packed(any)])),
  };
}
