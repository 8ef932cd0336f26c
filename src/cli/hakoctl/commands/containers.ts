import { HakoError, invalid } from '#base/errors.ts';
import { containers, type Container } from '#client/containerd/containers.ts';
import { getProcess, removeContainer, removeTask } from '#client/containerd/removing.ts';
import { toDate } from '#client/containerd/times.ts';
import { parseExactly, specType } from '#client/spec/spec-json.ts';
import { print } from '../../output.ts';
import { command, type Context } from '../command.ts';
import { labelText, printJson, printTable } from '../listing.ts';
import { pairs } from '../parse.ts';
import { each } from '../seek.ts';
import { wide } from '../tabs.ts';
import { containerName, findContainer } from './container-names.ts';

export const list = command({
  usage: '[flags] [<filter>, ...]',
  flags: {
    quiet: { kind: 'on', short: 'q', help: 'Print only the container id' },
    json: { kind: 'on', help: 'Print JSON' },
  },
  examples: [['containers list \'labels."team"==build\'', 'those with a label']],
  async run({ door }, { flags, rest }) {
    const found = await containers(door).list({ filters: [...rest] });
    printTable(
      {
        rows: found.containers,
        titles: ['CONTAINER', 'IMAGE', 'RUNTIME', ''],
        cells: ({ id, image, runtime }) => [id, image === '' ? '-' : image, runtime?.name ?? '', ''],
        stops: wide,
        name: ({ id }) => id,
        json: facts,
      },
      flags,
    );
  },
});

export const info = command({
  usage: 'CONTAINER',
  flags: { spec: { kind: 'on', help: 'Only display the spec' } },
  examples: [['containers info --spec web', 'what the OCI runtime gets']],
  async run(context, { flags, rest }) {
    const container = await findContainer(context, containerName(rest));
    const spec = specIn(container);
    if (flags.spec) return printJson(spec ?? null);
    printJson({ ...facts(container), ...(spec === undefined ? {} : { Spec: spec }) });
  },
});

type Packed = { readonly typeUrl: string; readonly value: Uint8Array };

/** A container in the shape and order that Go prints. */
function facts(container: Container): Record<string, unknown> {
  const { id, labels, image, runtime, snapshotKey, snapshotter, extensions, sandbox } = container;
  return {
    ID: id,
    Labels: labels,
    Image: image,
    Runtime: { Name: runtime?.name ?? '', Options: runtime?.options === undefined ? null : packed(runtime.options) },
    SnapshotKey: snapshotKey,
    Snapshotter: snapshotter,
    CreatedAt: toDate(container.createdAt),
    UpdatedAt: toDate(container.updatedAt),
    Extensions: Object.fromEntries(Object.entries(extensions).map(([name, any]) => [name, packed(any)])),
    SandboxID: sandbox,
  };
}

const packed = ({ typeUrl, value }: Packed): object => ({
  ...(typeUrl === '' ? {} : { type_url: typeUrl }),
  ...(value.length === 0 ? {} : { value: Buffer.from(value).toString('base64') }),
});

function specIn({ id, spec }: Container): unknown {
  if (spec === undefined || spec.value.length === 0) return undefined;
  const name = spec.typeUrl.slice(spec.typeUrl.indexOf('/') + 1);
  if (!specType.endsWith(name))
    throw invalid(`spec of container "${id}": of type "${spec.typeUrl}", not a runtime spec`);
  return parseExactly(Buffer.from(spec.value).toString());
}

export const label = command({
  usage: 'CONTAINER [<key>=<value>, ...]',
  description: 'An empty value clears the label.',
  flags: {},
  examples: [['containers label web team=build', 'set it']],
  async run(context, { rest }) {
    const id = containerName(rest);
    const labels = pairs(rest.slice(1));
    await findContainer(context, id);
    // A mask leaves labels that are not named as they are; without any, containerd would replace the whole record.
    const { container } = await containers(context.door).update({
      container: { id, labels },
      updateMask: { paths: Object.keys(labels).map((key) => `labels.${key}`) },
    });
    print(1, `${labelText(container?.labels ?? {}, '')}\n`);
  },
});

export const remove = command({
  usage: '[flags] CONTAINER [CONTAINER, ...]',
  flags: { 'keep-snapshot': { kind: 'on', help: 'Do not clean up snapshot with container' } },
  examples: [['containers delete web', 'whose task has stopped']],
  async run(context, { flags, rest }) {
    if (rest.length === 0) throw invalid('must specify at least one container to delete');
    return each(rest, (id) => removeOne(context, id, flags['keep-snapshot']));
  },
});

async function removeOne(context: Context, id: string, keepSnapshot: boolean): Promise<void> {
  const { door } = context;
  const container = await findContainer(context, id);
  const task = await getProcess(door, id).catch(() => undefined);
  if (task !== undefined) {
    if (task.status !== 'STOPPED' && task.status !== 'CREATED')
      throw new HakoError(
        'failed-precondition',
        `cannot delete a non stopped container: "${id}" is ${task.status.toLowerCase()}: hakoctl tasks kill ${id}`,
      );
    await removeTask(door, id, task.io);
  }
  await removeContainer(door, container, { keepSnapshot });
}
