import { serveThread } from '#base/threads.ts';
import { AT_FDCWD, closeFd, must, O_RDONLY, openAt, textOf } from './at.ts';
import { copyTree } from './copy.ts';
import { check as checkCall, libc } from './libc.ts';
import { removeTree, weighDifference, weighTree } from './tree.ts';
import type { TreeRequest } from './trees.ts';

const syncfs = libc('int syncfs(int fd)');

serveThread((request: TreeRequest, check) => {
  switch (request.do) {
    case 'weigh':
      return weighTree(request.path, check);
    case 'weigh difference':
      return weighDifference(request.path, request.beneath, check);
    case 'remove':
      return removeTree(request.path, check);
    case 'copy':
      return copyTree(request.path, request.to, check);
    case 'sync': {
      const fd = must(openAt(AT_FDCWD, request.path, O_RDONLY), 'open', textOf(request.path));
      try {
        checkCall(syncfs(fd), 'syncfs', textOf(request.path));
      } finally {
        closeFd(fd);
      }
      return undefined;
    }
  }
});
