import { spawnSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDigest } from '#base/digest.ts';
import { contents, readDocument, writeBlob } from '#client/containerd/content.ts';
import { withLease } from '#client/containerd/lease-scope.ts';
import { Failure, UsageFailure } from '../../failure.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';
import { wholeNumber } from '../parse.ts';
import { seeking } from '../seek.ts';

export const ingest = command({
  usage: '[flags] <key>',
  description: 'Reads standard input. The key names the upload.',
  flags: {
    'expected-size': { kind: 'one', help: 'Validate against provided size' },
    'expected-digest': { kind: 'one', help: 'Verify content against expected digest' },
  },
  examples: [['content ingest --expected-digest sha256:… upload-1 <layer.tar.gz', 'add a blob']],
  async run({ door }, { flags, rest: [ref = ''] }) {
    const digest = flags['expected-digest'] ?? '';
    if (digest !== '') parseDigest(digest);
    if (ref === '') throw new UsageFailure('must specify a transaction reference', 1);
    const size = wholeNumber('expected-size', flags['expected-size']) ?? 0;
    // Nothing refers to what nobody expects: under a lease it would be gone with it, so there is none.
    await writeBlob(door, { ref, size, digest }, process.stdin);
  },
});

export const edit = command({
  usage: '[flags] <digest>',
  description:
    'Opens a copy of the blob in an editor, and adds what that leaves as a new blob. Label it if it is to stay.',
  flags: {
    validate: { kind: 'one', help: 'Not supported, as in ctr' },
    editor: { kind: 'one', variable: 'EDITOR', help: 'Select editor (vim, emacs, etc.)' },
  },
  takes: [1, 1],
  examples: [["content edit --editor 'sed -i s/amd64/arm64/' sha256:…", 'change a document']],
  async run(context, { flags, rest: [digest = ''] }) {
    if (flags.validate !== undefined) throw new UsageFailure('validating the edit result is not supported', 1);
    const { editor } = flags;
    if (editor === undefined || editor === '')
      throw new UsageFailure('editor is required: give --editor or set EDITOR', 1);
    parseDigest(digest);
    const { door } = context;
    const sought = { kind: 'blob', name: digest, look: (one: typeof door) => contents(one).info({ digest }) };
    const text = await seeking(context, sought, () => readDocument(door, digest));
    const dir = await mkdtemp(join(context.environment['XDG_RUNTIME_DIR'] ?? tmpdir(), 'hakoctl-edit-'));
    try {
      const file = join(dir, 'blob');
      await writeFile(file, text, { mode: 0o600 });
      const { status, error } = spawnSync('sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' });
      if (status !== 0) throw new Failure(1, `editor "${editor}": ${error?.message ?? `exit status ${status}`}`);
      const made = await withLease(door, (leased) =>
        writeBlob(leased, { ref: `edit-${digest}-${process.pid}` }, createReadStream(file)),
      );
      print(1, `${made.digest}\n`);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
});
