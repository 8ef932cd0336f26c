import { codeOf } from '#base/errors.ts';
import { containers } from '#client/containerd/containers.ts';
import { images } from '#client/containerd/images.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { findImage } from '../image-names.ts';
import { labelText } from '../listing.ts';
import { pairs } from '../parse.ts';
import { each } from '../seek.ts';

export const remove = command({
  usage: '[flags] <ref> [<ref> ...]',
  description: 'An image that is not there is an error, and the others are removed all the same.',
  flags: { sync: { kind: 'on', help: 'Synchronously remove image and all associated resources' } },
  takes: [1, Infinity],
  examples: [['images rm --sync alpine', 'and its layers, when nothing else needs them']],
  async run(context, { flags, rest }) {
    return each(rest, async (word) => {
      const { name } = await findImage(context, word);
      // The collection is to run once, when the last one has gone.
      await images(context.door).delete({ name, sync: flags.sync && word === rest.at(-1) });
      print(1, `${name}\n`);
    });
  },
});

export const prune = command({
  usage: '[flags]',
  description: 'Removes images that no container was made of, and then what only they kept on disk.',
  flags: { all: { kind: 'on', help: 'Remove all unused images (if all is not specified no images will be pruned)' } },
  takes: [0, 0],
  examples: [['images prune --all', 'make room']],
  async run({ door }, { flags }) {
    if (!flags.all) {
      print(2, 'hakoctl: no images pruned: "images prune" requires --all\n');
      return;
    }
    const [{ images: found }, { containers: made }] = await Promise.all([
      images(door).list({}),
      containers(door).list({}),
    ]);
    const used = new Set(made.map(({ image }) => image));
    const unused = found.filter(({ name }) => !used.has(name));
    return each(
      unused.map(({ name }) => name),
      async (name) => {
        try {
          await images(door).delete({ name, sync: name === unused.at(-1)?.name });
          print(2, `deleted image: ${name}\n`);
        } catch (error) {
          // Someone else was faster.
          if (codeOf(error) !== 'not-found') throw error;
        }
      },
    );
  },
});

export const label = command({
  usage: '[flags] <name> [<key>=<value> ...]',
  description: 'An empty value clears the label. Prints the labels that the image has then.',
  flags: { 'replace-all': { kind: 'on', short: 'r', help: 'Replace all labels' } },
  takes: [1, Infinity],
  examples: [['images label alpine team=build', 'set one']],
  async run(context, { flags, rest: [word = '', ...words] }) {
    const { name, labels: old } = await findImage(context, word);
    const labels = pairs(words);
    const paths = flags['replace-all'] ? ['labels'] : Object.keys(labels).map((key) => `labels.${key}`);
    const updated =
      words.length === 0
        ? old
        : (await images(context.door).update({ image: { name, labels }, updateMask: { paths } })).image?.labels;
    print(1, `${labelText(updated ?? {}, '')}\n`);
  },
});
