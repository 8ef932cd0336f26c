import { invalid, unimplemented } from '#base/errors.ts';
import { textsOf, type Json } from '../engine/fields.ts';

/** What `--security-opt` asks for. */
export interface SecurityOptions {
  /** undefined: the default profile. */
  readonly seccomp?: 'unconfined' | { readonly profile: string };
  readonly noNewPrivileges: boolean;
  /** `systempaths=unconfined`: nothing of /proc and /sys is hidden. */
  readonly pathsUnconfined: boolean;
}

/** Reads `HostConfig.SecurityOpt`; both `key=value` and Docker's old `key:value`. Labels mean nothing without SELinux. */
export function securityOf(hostConfig: Json): SecurityOptions {
  let seccomp: SecurityOptions['seccomp'];
  let noNewPrivileges = false;
  let pathsUnconfined = false;
  for (const option of textsOf(hostConfig, 'SecurityOpt')) {
    const matched = /^([a-z-]+)(?:[=:](.*))?$/s.exec(option);
    if (matched === null) throw invalid(`invalid --security-opt 1: "${option}"`);
    const [, key = '', value = ''] = matched;
    if (key === 'no-new-privileges') {
      if (!['', 'true', 'false'].includes(value)) throw invalid(`invalid --security-opt 2: "${option}"`);
      noNewPrivileges = value !== 'false';
    } else if (key === 'seccomp') {
      seccomp = value === 'unconfined' ? value : value === 'builtin' ? undefined : { profile: value };
    } else if (key === 'systempaths') {
      if (value !== 'unconfined') throw invalid(`invalid --security-opt 2: "${option}"`);
      pathsUnconfined = true;
    } else if (key === 'apparmor') {
      if (value !== 'unconfined') throw unimplemented(`AppArmor profile "${value}"`);
    } else if (key !== 'label' && key !== 'writable-cgroups') {
      throw invalid(`invalid --security-opt 2: "${option}"`);
    }
  }
  return { ...(seccomp === undefined ? {} : { seccomp }), noNewPrivileges, pathsUnconfined };
}
