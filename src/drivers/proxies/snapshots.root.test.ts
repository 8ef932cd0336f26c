import { after, before } from 'node:test';
import { snapshotDriverSuite } from '#core/suites/snapshot-driver.ts';
import { mountAll, unmountAll } from '#sys/mount.ts';
import { openHarbour, type Harbour } from '../../../test/support/daemon.ts';
import { SnapshotProxy } from './snapshots.ts';

const never = new AbortController().signal;
const undo = new AsyncDisposableStack();
let harbour: Harbour;
before(async () => {
  harbour = await openHarbour(undo);
});
after(() => undo.disposeAsync());

for (const snapshotter of ['overlayfs', 'native']) {
  snapshotDriverSuite(`SnapshotProxy before ${snapshotter} of another daemon`, async () => {
    const open = (): SnapshotProxy =>
      undo.adopt(new SnapshotProxy({ name: snapshotter, address: harbour.daemon.address }, 'suite'), (it) =>
        it.close(),
      );
    const driver = open();
    return {
      driver,
      restart: async () => open(),
      mount: mountAll,
      unmount: unmountAll,
      [Symbol.asyncDispose]: () => removeAll(driver),
    };
  });
}

/** One daemon serves all tests: each leaves it empty. */
async function removeAll(driver: SnapshotProxy): Promise<void> {
  const left = await Array.fromAsync(driver.list(never));
  const number = (id: string): number => Number(id.split('/')[1]);
  // Trees of the suite stand on those with smaller numbers.
  for (const id of left.toSorted((a, b) => number(b) - number(a))) await driver.remove(id, never);
}
