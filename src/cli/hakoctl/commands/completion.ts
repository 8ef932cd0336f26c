import { UsageFailure } from '../../failure.ts';
import { print } from '../../output.ts';
import { command } from '../command.ts';

/** Each shell asks `hakoctl __complete` at every key: commands, flags and names are always those of this very version. */
const scripts: Readonly<Record<string, string>> = {
  bash: `_hakoctl() {
  local IFS=$'\\n' line
  COMPREPLY=()
  # Bash takes words apart at colons and equals signs; image names and labels have them.
  local words cword cur
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n := words cword cur
  else
    words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD cur=\${COMP_WORDS[COMP_CWORD]}
  fi
  for line in $("\${words[0]}" __complete -- "\${words[@]:1:cword}" 2>/dev/null); do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$cur"; fi
}
complete -o default -F _hakoctl hakoctl
`,
  zsh: `#compdef hakoctl
_hakoctl() {
  local -a found
  local line
  for line in "\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( \${#found} )); then _describe -V hakoctl found; else _files; fi
}
if [[ \${funcstack[1]} = _hakoctl ]]; then _hakoctl "$@"; else compdef _hakoctl hakoctl; fi
`,
  fish: `function __hakoctl_complete
    set -l words (commandline -opc)
    $words[1] __complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c hakoctl -f -n 'test (count (__hakoctl_complete)) -gt 0' -a '(__hakoctl_complete)'
`,
};

export const completion = command({
  usage: 'bash|zsh|fish',
  description: 'Commands, flags, and the names of images, containers and other things that the daemon has.',
  flags: {},
  alone: true,
  examples: [
    ['completion bash >/etc/bash_completion.d/hakoctl', 'for everyone'],
    ['completion fish >~/.config/fish/completions/hakoctl.fish', 'for you'],
  ],
  async run(_, { rest: [shell = ''] }) {
    const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
    if (script === undefined) throw new UsageFailure(`name a shell: ${Object.keys(scripts).join(', ')}`, 1);
    print(1, script);
  },
});

/** What the scripts ask. Never fails: a person who presses a key wants no message. */
export const complete = command({
  usage: '-- <word> [<word> ...]',
  flags: {},
  alone: true,
  examples: [],
  async run({ environment }, { rest }) {
    const { candidates } = await import('../complete.ts');
    const found = await candidates(rest, environment).catch(() => []);
    print(1, found.map(([word, what]) => `${word}\t${what}\n`).join(''));
  },
});
