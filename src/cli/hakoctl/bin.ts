import { main } from './main.ts';

// The launcher's affair; what we start and pass on must not inherit it.
delete process.env['NODE_COMPILE_CACHE'];

// No top-level await: the bundle is a classic script, which starts faster than a module.
void main(process.argv.slice(2), process.env).then((code) => {
  // What may still be open (a connection, a terminal) serves nobody any more.
  process.exit(code);
});
