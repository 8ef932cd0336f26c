import type { Release } from './scenario.ts';

/** One known difference between the two sides, with the reason why it stays. */
export interface Difference {
  readonly scenario: string | RegExp;
  /** The command line as the scenario has it; where several match, it is a difference of each of them. */
  readonly line: string | RegExp;
  /** With which reference it shows; both where it is not said. */
  readonly with?: Release;
  /** What both sides say, in their normalised form; what is left out is the same on both sides. */
  readonly theirs: Saying;
  readonly ours: Saying;
  readonly why: string;
}

export interface Saying {
  readonly code?: number;
  readonly stdout?: RegExp;
  readonly stderr?: RegExp;
}

/** Whether the difference is one of this line. */
export function lists(one: Difference, scenario: string, line: string, release: Release): boolean {
  const fits = (pattern: string | RegExp, text: string): boolean =>
    typeof pattern === 'string' ? pattern === text : pattern.test(text);
  return fits(one.scenario, scenario) && fits(one.line, line) && (one.with === undefined || one.with === release);
}

export const differences: readonly Difference[] = [
  {
    scenario: /./,
    line: /^(?!.*leases).* k=v{5000}$/,
    with: '1.6',
    theirs: { stderr: /label key and value greater than maximum size \(4096 bytes\), key: k: invalid argument/ },
    ours: { stderr: /label key and value length \(5001 bytes\) greater than maximum size \(4096 bytes\), key: k/ },
    why: '2.1 says how long the label is, and gives a namespace with one its code; ours with it',
  },
  {
    scenario: 'events',
    line: 'cut -d" " -f5- seen.txt',
    with: '1.6',
    theirs: { stdout: /^<namespace> \/namespaces\/create \{"name":"born"/m },
    ours: { stdout: /ContentCreate: not found[^]*^born \/namespaces\/create \{"name":"born"/m },
    why: '2.1 tells of content, which a client of 1.6 cannot read, and of a namespace in that namespace; ours with it',
  },
  {
    scenario: 'globals',
    line: 'ctr version | sed "s/:.*/:/"',
    theirs: { stderr: /^$/ },
    ours: { stderr: /^WARNING: version mismatch$/m },
    why: 'the server has a version of its own, and ctr compares',
  },
  {
    scenario: 'snapshots-overlayfs',
    line: /ctr snapshots prepare --mounts other done$/,
    with: '1.6',
    theirs: { stdout: /"index=off",\n  "workdir=/ },
    ours: { stdout: /lowerdir=<tree>",\n  "index=off"/ },
    why: '2.1 has the options of a mount in another order; ours with it',
  },
  {
    scenario: 'snapshots-overlayfs',
    line: /ctr snapshots commit fromview look$/,
    with: '1.6',
    theirs: { stderr: /^ctr: failed to commit snapshot: snapshot "<namespace>\/<id>\/look" is not active/ },
    ours: {
      stderr: /^ctr: failed to commit snapshot <namespace>\/<id>\/look: snapshot "<namespace>\/<id>\/look" is not/,
    },
    why: '2.1 names the snapshot twice; ours with it',
  },
  {
    scenario: 'snapshots-native',
    line: /ctr snapshots commit fromview look$/,
    theirs: { stderr: /^ctr: lstat <tree>: no such file or directory/ },
    ours: { stderr: /snapshot "<namespace>\/<id>\/look" is not active: failed precondition/ },
    why: "containerd's native snapshotter has by then lost the tree of the view; ours refuses, as its overlayfs does",
  },
  {
    scenario: /^snapshots-(overlayfs|native)$/,
    line: /ctr snapshots diff child \| tar -tvz$/,
    with: '1.6',
    theirs: { stdout: / 20\d\d-[^\n]* \.wh\.tea$/m },
    ours: { stdout: / 1970-01-01 00:00 \.wh\.tea$/m },
    why: '2.1 dates what was removed to the beginning, so that a layer of the same files has the same digest; ours with it',
  },
  {
    scenario: /^snapshots-(overlayfs|native)$/,
    line: /--media-type application\/vnd\.oci\.image\.layer\.v1\.tar\+zstd child/,
    with: '1.6',
    theirs: { stdout: /^$/, stderr: /unsupported diff media type/ },
    ours: { stdout: /28 b5 2f fd/, stderr: /^$/ },
    why: '2.1 makes layers with zstd; ours with it',
  },
  {
    scenario: 'pulls-refused',
    line: 'ctr images pull --plain-http $R/small@sha256:short',
    with: '2.1',
    theirs: { stderr: /^ctr: failed to resolve image: invalid checksum digest length$/m },
    ours: { stderr: /^ctr: failed to resolve image: invalid reference format: "<registry>\/small@sha256:short"$/m },
    why: 'a reference is refused before a registry is asked, and the error says which; with 1.6 the client refuses it',
  },
  {
    scenario: 'pulls-refused',
    line: 'ctr images pull --plain-http $R/UPPER:1',
    with: '2.1',
    theirs: { stderr: /^ctr: failed to resolve image: <registry>\/UPPER:1: not found$/m },
    ours: { stderr: /repository name \(UPPER\) must be lowercase/ },
    why: 'a reference is refused before a registry is asked, and the error says why',
  },
  {
    scenario: 'pulls-refused',
    line: /^ctr images pull --plain-http (127\.0\.0\.1:1|nowhere\.invalid)\/none:1$/,
    with: '2.1',
    theirs: { stderr: /^ctr: failed to resolve image: failed to do request: Head "http:.*: dial tcp/m },
    ours: { stderr: /^ctr: failed to resolve image: registry "[^"]*": (connection refused|the name server)/m },
    why: "the words of Go's network library are its own; ours say which registry, what was wrong and what to do",
  },
  {
    scenario: 'pushes',
    line: /^ctr images push --plain-http 127\.0\.0\.1:1\/none:1 /,
    with: '2.1',
    theirs: { stderr: /^ctr: failed to do request: Head "http:.*: dial tcp/m },
    ours: { stderr: /^ctr: registry "127.0.0.1:1": connection refused: is it running\?$/m },
    why: "the words of Go's network library are its own; ours say which registry, what was wrong and what to do",
  },
  {
    scenario: 'pushes',
    line: 'ctr images push --plain-http UPPER $R/small:1',
    with: '2.1',
    theirs: { stderr: /^ctr: parse "dummy:\/\/UPPER@sha256:.* after host$/m },
    ours: { stderr: /repository name \(library\/UPPER\) must be lowercase/ },
    why: 'a reference is refused before a registry is asked, and the error says why',
  },
  {
    scenario: 'pushes',
    line: 'ctr images push --plain-http --platform linux/arm64 $OWN/arm:1 $R/multi:1',
    with: '2.1',
    theirs: { code: 1, stdout: /^/, stderr: /manifest list\/index references to blobs and\/or manifests are missing/ },
    ours: { code: 0, stdout: /^/, stderr: /^$/ },
    why: 'theirs pushes an index without what it names, which registries refuse; ours pushes the one image that was asked for',
  },
  {
    scenario: 'pushes',
    line: 'ctr images push --plain-http --platform linux/s390x $OWN/none:1 $R/multi:1',
    with: '2.1',
    theirs: { stderr: /manifest list\/index references to blobs and\/or manifests are missing/ },
    ours: {
      stderr: /^ctr: image "<registry>\/multi:1": sha256:\S+ is not here: pull the image again before pushing it$/m,
    },
    why: 'theirs asks the registry, which refuses an index without what it names; ours says at once what is missing',
  },
  {
    scenario: 'globals',
    line: 'ctr plugins inspect-runtime --runtime io.containerd.ghost.v9',
    theirs: { stderr: /runtime "io.containerd.ghost.v9" binary not installed "containerd-shim-ghost-v9"/ },
    ours: { stderr: /^ctr: failed to look up the path of "ghost": executable file not found in \$PATH$/m },
    why: 'one shim of ours serves every OCI runtime, so that it is the runtime itself that is missing',
  },
  {
    scenario: 'run-io',
    line: /binary:\/\/\$PWD\/ghost/,
    with: '1.6',
    theirs: {
      stderr: /failed to create init process I\/O: 1 error occurred:\n[^]*failed to start binary process: fork\/exec/,
    },
    ours: { stderr: /failed to create init process I\/O: failed to start binary process: fork\/exec/ },
    why: '2.1 says it in one line; ours with it',
  },
  {
    scenario: 'run-process',
    line: /--label \$\(head -c 5000/,
    with: '1.6',
    theirs: { stderr: /label key and value greater than maximum size \(4096 bytes\), key: x{10}: / },
    ours: {
      stderr: /label key and value length \(5001 bytes\) greater than maximum size \(4096 bytes\), key: x{64}: /,
    },
    why: '2.1 tells the length and more of the key; ours with it',
  },
  {
    scenario: 'run-files',
    line: /--remap-labels/,
    with: '1.6',
    theirs: { stderr: /error preparing rootfs: mount/ },
    ours: { stderr: /^ctr: failed to mount \/tmp\/<id>: invalid argument/ },
    why: "the overlayfs of 2.1 maps owners in the mount's options, which the client of 1.6 cannot mount by itself; ours with it",
  },
  {
    scenario: 'run-files',
    line: /--runc-binary ghost/,
    theirs: { stderr: /unable to retrieve OCI runtime error \(open .*log.json.*"ghost": executable file not found/ },
    ours: { stderr: /OCI runtime "ghost": not found; install it, or name another/ },
    why: 'the error says what to do, not which file of ours was not written',
  },
  {
    scenario: 'run-files',
    line: /--runtime (io\.containerd\.ghost\.v1|nonsense|\/ghost)/,
    theirs: { stderr: /^ctr: failed to start shim: failed to resolve runtime path: / },
    ours: { stderr: /OCI runtime "(ghost|nonsense|\/ghost)": not found; install it, or name another/ },
    why: 'one shim serves all containers: what a runtime names is the OCI runtime, so it is that which is missing',
  },
  {
    scenario: 'sandboxes',
    line: /^ctr sandboxes (remove|rm --force) ghost$/,
    theirs: { stderr: /no sandbox buckets: not found/ },
    ours: { stderr: /bucket \\"ghost\\" not found: not found/ },
    why: 'ours has no place that is made with the first sandbox of a namespace, and says what is missing',
  },
  {
    scenario: 'sandboxes',
    line: /^(ctr oci spec .*ghost.v1 pod.json one|ctr sandboxes rm( --force)? one)$/,
    theirs: { stderr: /unknown service containerd\.services\.sandbox\.v1\.Controller/ },
    ours: { stderr: /invalid argument: sandbox controller name can not be empty/ },
    why: 'the reference runs without its CRI plugin, and with that without the service; where it has it, it says what ours says',
  },
];
