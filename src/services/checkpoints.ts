import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Call } from '#base/call.ts';
import type { Any } from '#core/any.ts';
import type { Descriptor } from '#core/images.ts';
import type { Content } from './content.ts';
import { DiffUpload } from './diff-upload.ts';
import type { Diffs } from './diffs.ts';
import type { Tasks } from './tasks.ts';

export interface CheckpointsParts {
  readonly tasks: Tasks;
  readonly content: Content;
  readonly diffs: Diffs;
  /** The daemon's state directory. */
  readonly state: string;
}

export interface CheckpointRequest {
  readonly id: string;
  /** The shim's own options; undefined for its defaults. */
  readonly options?: Any;
  /** Where the client wants the files of the checkpoint; '' for blobs. */
  readonly imagePath: string;
  /** The container's spec, in the form in which it is stored. */
  readonly spec: Uint8Array;
}

const mediaTypes = {
  files: 'application/vnd.containerd.container.criu.checkpoint.criu.tar',
  spec: 'application/vnd.containerd.container.checkpoint.config.v1+proto',
} as const;

/** Writes down the state of running containers, as files or as blobs. */
export class Checkpoints {
  readonly #parts: CheckpointsParts;

  constructor(parts: CheckpointsParts) {
    this.#parts = parts;
  }

  /** Gives the blobs that were made: none when the client has named a directory for the files. Hold them by a lease. */
  async checkpoint(call: Call, request: CheckpointRequest): Promise<Descriptor[]> {
    const { tasks, diffs, state } = this.#parts;
    const { id, imagePath, options } = request;
    if (imagePath !== '') {
      await tasks.checkpoint(call, id, imagePath, options);
      return [];
    }
    await using undo = new AsyncDisposableStack();
    const directory = undo.adopt(await mkdtemp(join(state, 'checkpoint-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    await tasks.checkpoint(call, id, directory, options);
    const files = await diffs.diff(call, {
      left: [],
      right: [{ type: 'bind', source: directory, options: ['ro', 'rbind'] }],
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
    });
    return [{ ...files, mediaType: mediaTypes.files }, await this.#store(call, request.spec)];
  }

  async #store(call: Call, spec: Uint8Array): Promise<Descriptor> {
    await using upload = new DiffUpload(call, this.#parts.content, '');
    await upload.write(spec);
    return { mediaType: mediaTypes.spec, digest: await upload.commit({}), size: spec.length };
  }
}
