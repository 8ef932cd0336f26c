import { after, before } from 'node:test';
import { contentStoreSuite } from '#core/suites/content-store.ts';
import { openHarbour, type Harbour } from '../../../test/support/daemon.ts';
import { ContentProxy } from './content.ts';

const never = new AbortController().signal;
const undo = new AsyncDisposableStack();
let harbour: Harbour;
before(async () => {
  harbour = await openHarbour(undo);
});
after(() => undo.disposeAsync());

contentStoreSuite('ContentProxy before the content of another daemon', async () => {
  const open = (): ContentProxy =>
    undo.adopt(new ContentProxy({ name: 'far', address: harbour.daemon.address }, 'suite'), (it) => it.close());
  const store = open();
  return {
    store,
    restart: async () => open(),
    [Symbol.asyncDispose]: () => removeAll(store),
  };
});

/** One daemon serves all tests: each leaves it empty. */
async function removeAll(store: ContentProxy): Promise<void> {
  for (const ingest of await Array.fromAsync(store.ingests(never))) await store.abort(ingest, never);
  for (const { digest } of await Array.fromAsync(store.list(never))) await store.remove(digest, never);
}
