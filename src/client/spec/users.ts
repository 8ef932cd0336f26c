import { HakoError, invalid } from '#base/errors.ts';
import type { User } from './types.ts';

/** What a container's root file system says of its users; undefined where the file is not there. */
export interface UserFiles {
  readonly passwd: string | undefined;
  readonly group: string | undefined;
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

/** runc takes no id beyond this one. */
const largestId = 2 ** 31 - 1;

const numberIn = (text: string | undefined): number => (/^[+-]?\d+$/.test(text ?? '') ? Number(text) : 0);

const records = (text: string): string[][] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => line.split(':'));

function accounts(files: UserFiles): Account[] | undefined {
  if (files.passwd === undefined) return undefined;
  return records(files.passwd).map((part) => ({
    name: part[0] ?? '',
    uid: numberIn(part[2]),
    gid: numberIn(part[3]),
  }));
}

const groups = (files: UserFiles): Group[] =>
  records(files.group ?? '').map((part) => ({
    name: part[0] ?? '',
    gid: numberIn(part[2]),
    members: (part[3] ?? '').split(','),
  }));

/** The id that a word is; undefined when it is a name. */
function idOf(word: string): number | undefined {
  if (!/^\+?\d+$/.test(word)) return undefined;
  const id = Number(word);
  return id <= largestId ? id : undefined;
}

const withOwnGroup = (uid: number, gid: number, others: readonly number[]): User => ({
  uid,
  gid,
  additionalGids: others.includes(gid) ? [...others] : [gid, ...others],
});

function accountNamed(files: UserFiles, name: string): Account {
  const found = accounts(files)?.find((account) => account.name === name);
  if (found !== undefined) return found;
  const why = files.passwd === undefined ? 'the image has no /etc/passwd' : "it is not in the image's /etc/passwd";
  throw new HakoError('not-found', `user "${name}": ${why}: name a uid, or a user of the image`);
}

function groupNamed(files: UserFiles, name: string): Group {
  const found = groups(files).find((group) => group.name === name);
  if (found !== undefined) return found;
  throw new HakoError(
    'not-found',
    `group "${name}": it is not in the image's /etc/group: name a gid, or one of its groups`,
  );
}

/** Reads `user`, `uid`, `user:group`, `uid:gid` and the mixtures. A uid that no account has gets group 0. */
export function resolveUser(text: string, files: UserFiles): User {
  const [user = '', group, ...more] = text.split(':');
  if (more.length > 0) throw invalid(`user "${text}": must be USER or USER:GROUP`);
  const uid = idOf(user);
  if (group === undefined) {
    const account =
      uid === undefined ? accountNamed(files, user) : accounts(files)?.find((candidate) => candidate.uid === uid);
    return withOwnGroup(account?.uid ?? uid ?? 0, account?.gid ?? 0, []);
  }
  const gid = idOf(group);
  return withOwnGroup(
    // An empty word is the id 0, as the client of containerd has it.
    uid ?? (user === '' ? 0 : accountNamed(files, user).uid),
    gid ?? (group === '' ? 0 : groupNamed(files, group).gid),
    [],
  );
}

/** The same user with the groups that the image's /etc/group lists for `who`, a name or a uid. */
export function withGroupsOf(user: User, who: string, files: UserFiles): User {
  const { uid, gid } = user;
  let name: string | undefined = who;
  if (/^[+-]?\d+$/.test(who)) name = accounts(files)?.find((account) => account.uid === Number(who))?.name;
  if (name === undefined) return withOwnGroup(uid, gid, []);
  const member = groups(files).filter((group) => group.name !== name && group.members.includes(name));
  return withOwnGroup(
    uid,
    gid,
    member.map((group) => group.gid),
  );
}
