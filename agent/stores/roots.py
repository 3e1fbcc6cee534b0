"""Which folder does a path name, and is it one that may be read?"""

import errno
import os
import stat

from agent.faults import Side, classify
from agent.protocol import FolderFound


def find_folder(path: str, roots: tuple[str, ...]) -> FolderFound:
    """Symbolic links are resolved on both sides; a root that is not there allows nothing.

    Raises:
        Fault: SOURCE_GONE: there is no such folder; SOURCE or SOURCE_OUTAGE: that cannot be said.
    """
    try:
        found = os.path.realpath(path, strict=True)
        if not stat.S_ISDIR(os.stat(found).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    real = [os.path.realpath(root) for root in roots]
    return FolderFound(found, any(f"{found}/".startswith(f"{root.rstrip('/')}/") for root in real))
