"""Remove empty folders below a source, and nothing but empty folders."""

import errno
from collections.abc import Callable

from agent.fs import safe_open
from agent.fs.syscalls import closing_fd
from agent.protocol.replies import FoldersRemoved
from agent.protocol.requests import RemoveEmptyFolders
from agent.worker.source.source_file import source_fault
from agent.worker.source.source_folder import open_mounted

# Not empty (some file systems say EEXIST), gone, no folder any more, a mount point, or not ours to remove.
_STAYS = frozenset(
    (
        *(errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EBUSY),
        *(errno.EACCES, errno.EPERM, errno.EROFS),
    )
)


def remove_empty_folders(request: RemoveEmptyFolders, heartbeat: Callable[[], None]) -> FoldersRemoved:
    """Try each folder; only the file system decides whether it is empty. No symbolic link is followed.

    Raises:
        ValueError: a path could lead out of the source, or is the source itself.
        Fault: SOURCE_OUTAGE: also when the source is not mounted. SOURCE: the file system fails.
    """
    removed = []
    with closing_fd(open_mounted(request.source, request.mount)) as root:
        for folder in request.folders:
            try:
                safe_open.rmdir_at(root, folder)
                removed.append(folder)
            except OSError as error:
                if error.errno not in _STAYS:
                    raise source_fault(error) from error
            heartbeat()
    return FoldersRemoved(tuple(removed))
