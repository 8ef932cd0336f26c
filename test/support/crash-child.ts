/**
 * A daemon's middle that is killed where its parent says: `node crash-child.ts ROOT POINT`. It says `here` on standard
 * output when it has reached the point, and then hangs there until it is killed.
 */
import { call, layer, openBridge, upload } from './bridge.ts';

const [, , root = '', point = ''] = process.argv;
const bridge = await openBridge({ root });

const hang = (): Promise<never> => {
  process.stdout.write('here\n');
  return new Promise(() => setInterval(() => {}, 1_000));
};

await layer(bridge, call, 'base', '', { 'containerd.io/gc.root': 'yes' });
const { driver, store } = bridge;

switch (point) {
  case 'create': // The row is there, the tree half made.
    driver.gate = hang;
    await bridge.snapshots.prepare(call, '', 'work', 'base', {});
    break;
  case 'seal': // The tree is whole and active, its commit under way.
    await bridge.snapshots.prepare(call, '', 'work', 'base', { 'containerd.io/gc.root': 'yes' });
    driver.gate = hang;
    await bridge.snapshots.commit(call, '', 'top', 'work', {});
    break;
  case 'remove': // The row is gone, the tree not yet.
    await bridge.snapshots.prepare(call, '', 'work', 'base', {});
    driver.remove = hang;
    await bridge.snapshots.remove(call, '', 'work');
    await bridge.idle();
    break;
  case 'commit': {
    // The blob is in its place, no row names it.
    const open = store.writer.bind(store);
    store.writer = async (id, signal) => {
      const writer = await open(id, signal);
      const commit = writer.commit.bind(writer);
      writer.commit = async (expected, ends) => {
        await commit(expected, ends);
        return hang();
      };
      return writer;
    };
    await upload(bridge, call, 'never named');
    break;
  }
  case 'write': {
    // Half an upload.
    const writer = await bridge.content.writer(call, { ref: 'half' });
    await writer.write(Buffer.from('half of it'));
    await writer.digest(); // The store gathers small writes; what was hashed is on disk.
    await hang();
    break;
  }
  default:
    throw new Error(`unknown point ${point}`);
}
