"""Rename a file to a private name in its folder: a name that nobody else uses."""

import errno
import os

from agent.fs import platform


def rename_to_private(name: str, private_name: str, folder: int) -> None:
    """Rename within one folder; what has the private name already is not replaced.

    Not by link and unlink: that would remove whatever has the name by then.

    Raises:
        FileExistsError: an earlier rename to this private name has not been undone.
        OSError: the rename failed.
    """
    try:
        platform.move_exclusively(name, folder, private_name, folder)
    except OSError as error:
        if error.errno not in platform.UNSUPPORTED:
            raise
        if has_name(folder, private_name):  # a look is enough, because nobody else uses it
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(name, private_name, src_dir_fd=folder, dst_dir_fd=folder)


def has_name(folder: int, name: str) -> bool:
    """Return whether anything has this name in the open folder.

    Raises:
        OSError: stat failed.
    """
    try:
        platform.fresh_stat(name, folder)
    except FileNotFoundError:
        return False
    return True
