import { serveThread } from '#base/threads.ts';
import { createSubvolume, deleteSubvolume, setSubvolumeReadonly, snapshotSubvolume, subvolumeId } from './btrfs.ts';
import type { SubvolumeRequest } from './subvolumes.ts';

serveThread((request: SubvolumeRequest, check) => {
  switch (request.do) {
    case 'create':
      return createSubvolume(request.directory, request.name);
    case 'snapshot':
      return snapshotSubvolume(request.from, request.directory, request.name, request.readonly);
    case 'delete':
      return deleteSubvolume(request.directory, request.name, check);
    case 'seal':
      return setSubvolumeReadonly(request.path, true);
    case 'id':
      return subvolumeId(request.path);
  }
});
