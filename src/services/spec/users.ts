import { invalid } from '#base/errors.ts';

/** Who a process runs as. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** The largest id that Linux takes from a signed number, as Docker has it. */
const maxId = 2 ** 31 - 1;

/**
 * Reads `user[:group]`, names or numbers, by the image's /etc/passwd and /etc/group (undefined when it has none). '' is
 * root. A number needs no entry; with one, the entry's group is taken. Supplementary groups are those that list the
 * user, unless a group was asked for, as Docker has it. `extra` are further groups (`--group-add`).
 * invalid-argument in Docker's words.
 */
export function lookUpUser(
  wanted: string,
  passwd: string | undefined,
  group: string | undefined,
  extra: readonly string[] = [],
): User {
  const accounts = parsePasswd(passwd ?? '');
  const groups = parseGroups(group ?? '');
  const colon = wanted.indexOf(':');
  const userPart = colon < 0 ? wanted : wanted.slice(0, colon);
  const groupPart = colon < 0 ? '' : wanted.slice(colon + 1);
  const number = asId(userPart === '' ? '0' : userPart, 'uid');
  // A name that looks like a number is looked for as a name first.
  const account = accounts.find(({ name }) => name === userPart) ?? accounts.find(({ uid }) => uid === number);
  if (account === undefined && number === undefined) {
    throw invalid(`unable to find user ${userPart}: no matching entries in passwd file`);
  }
  const uid = account?.uid ?? number ?? 0;
  const gid = groupPart === '' ? (account?.gid ?? 0) : findGroup(groupPart, groups);
  // The group itself is among them, so that no program can drop its way past a mode that denies the group (CVE-2022-36109).
  const additional = new Set<number>([gid]);
  if (groupPart === '' && account !== undefined) {
    for (const { gid: other, members } of groups) if (members.includes(account.name)) additional.add(other);
  }
  for (const name of extra) additional.add(findGroup(name, groups));
  return { uid, gid, additionalGids: [...additional] };
}

function findGroup(wanted: string, groups: readonly Group[]): number {
  const number = asId(wanted, 'gid');
  const found = groups.find(({ name }) => name === wanted)?.gid ?? number;
  if (found === undefined) throw invalid(`unable to find group ${wanted}: no matching entries in group file`);
  return found;
}

function asId(text: string, kind: string): number | undefined {
  if (!/^-?\d{1,16}$/.test(text)) return undefined;
  const id = Number(text);
  if (id < 0 || id > maxId) throw invalid(`${kind} "${text}": must be from 0 to ${maxId}`);
  return id;
}

/** passwd(5). Lines that are not entries are passed over, as libc does. */
function parsePasswd(text: string): Account[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , uid = '', gid = ''] = line.trim().split(':');
    if (name === '' || name.startsWith('#') || !/^\d+$/.test(uid) || !/^\d+$/.test(gid)) return [];
    return [{ name, uid: Number(uid), gid: Number(gid) }];
  });
}

/** group(5). */
function parseGroups(text: string): Group[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , gid = '', members = ''] = line.trim().split(':');
    if (name === '' || name.startsWith('#') || !/^\d+$/.test(gid)) return [];
    return [{ name, gid: Number(gid), members: members.split(',').filter((member) => member !== '') }];
  });
}
