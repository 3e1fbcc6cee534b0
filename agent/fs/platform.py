"""The operating system behind small functions that are the same everywhere; the choice is made here alone.

All of them block, for ever on a hung mount, and belong into worker processes.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

from agent.fs.libc import with_path
from agent.fs.page_cache import is_resident

if sys.platform == "darwin":
    from agent.fs.darwin import (
        drop_cache,
        file_system,
        is_network,
        mount_point,
        move_exclusively,
        open_writer,
        prepare_process,
        read_ahead,
        read_lease,
        rename_exclusively,
        start_writeback,
        sync_data,
        sync_file,
    )
else:
    from agent.fs.leases import open_writer, prepare_process, read_lease
    from agent.fs.linux import (
        drop_cache,
        file_system,
        is_network,
        mount_point,
        move_exclusively,
        read_ahead,
        rename_exclusively,
        start_writeback,
        sync_data,
        sync_file,
    )

__all__ = [
    "PUBLISH_STRATEGIES",
    "UNSUPPORTED",
    "PublishStrategy",
    "Publisher",
    "calls_at_once",
    "drop_cache",
    "file_system",
    "free_bytes",
    "is_network",
    "is_read_only",
    "is_resident",
    "mount_point",
    "move_exclusively",
    "open_writer",
    "prepare_process",
    "read_ahead",
    "read_lease",
    "start_writeback",
    "sync_data",
    "sync_file",
    "sync_folder",
]

MANY_CALLS = 4

PublishStrategy = Literal["rename", "link", "placeholder"]
Step = Callable[[str, str, int], None]

# What file systems answer to a call that they do not have.
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


def sync_folder(fd: int) -> None:
    """Bring a folder's names to stable storage; nothing where the file system has no such thing.

    Raises:
        OSError: they could not be stored.
    """
    try:
        sync_file(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise


def free_bytes(fd: int) -> tuple[int, int]:
    """What we may still write to this file system, and how large it is, in bytes.

    Raises:
        OSError: it cannot be asked.
    """
    answer = os.statvfs(fd)
    return answer.f_bavail * answer.f_frsize, answer.f_blocks * answer.f_frsize


def calls_at_once(fd: int) -> int:
    """How many calls for different files are worth having under way: on a share each is a round trip.

    On a disk of our own one thread is as fast as four that take the interpreter from each other, and needs
    half of the processor.

    Raises:
        OSError: it cannot be asked.
    """
    return MANY_CALLS if is_network(fd) else 1


def is_read_only(fd: int) -> bool:
    """Is this file system mounted read-only?

    Raises:
        OSError: it cannot be asked.
    """
    return bool(os.statvfs(fd).f_flag & os.ST_RDONLY)


def _by_link(source: str, target: str, folder_fd: int) -> None:
    try:
        os.link(source, target, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
    except FileExistsError:
        if not _are_one_file(source, target, folder_fd):
            raise
    os.unlink(source, dir_fd=folder_fd)


def _are_one_file(source: str, target: str, folder_fd: int) -> bool:
    """Were we stopped between link and unlink, or was the answer to our link lost on the way?"""
    one = os.stat(source, dir_fd=folder_fd, follow_symlinks=False)
    other = os.stat(target, dir_fd=folder_fd, follow_symlinks=False)
    return os.path.samestat(one, other) and min(one.st_nlink, other.st_nlink) > 1


def _by_placeholder(source: str, target: str, folder_fd: int) -> None:
    """Not airtight: whoever writes into the empty file between the check and the rename loses it."""
    fd = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666, dir_fd=folder_fd)
    try:
        placeholder = os.fstat(fd)
    finally:
        os.close(fd)  # before the rename: a late close could still write to the name
    try:
        if not _is_untouched(placeholder, target, folder_fd):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.rename(source, target, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except OSError:
        with suppress(OSError):
            if _is_untouched(placeholder, target, folder_fd):
                os.unlink(target, dir_fd=folder_fd)
        raise


def _is_untouched(placeholder: os.stat_result, target: str, folder_fd: int) -> bool:
    now = os.stat(target, dir_fd=folder_fd, follow_symlinks=False)
    return os.path.samestat(now, placeholder) and now.st_size == 0


PUBLISH_STRATEGIES: tuple[tuple[PublishStrategy, Step], ...] = (
    ("rename", rename_exclusively),
    ("link", _by_link),
    ("placeholder", _by_placeholder),
)


class Publisher:
    """Gives files their final names, never replacing anything, and remembers which way works where."""

    def __init__(self, ways: Sequence[tuple[PublishStrategy, Step]] = PUBLISH_STRATEGIES) -> None:
        self._ways = tuple(ways)
        self._first: dict[int, int] = {}  # by device: the first way that works there

    def publish(self, source_name: str, target_name: str, folder_fd: int) -> PublishStrategy:
        """Rename within one folder, and say by which way. Sync the folder afterwards.

        Killed in the middle it can be repeated, but "placeholder" then finds its own empty file in the way.

        Raises:
            ValueError: a name is not a plain one.
            FileExistsError: the target name is taken.
            OSError: it could not be done.
        """
        if "/" in source_name or "/" in target_name:
            raise ValueError(f"not in one folder: {source_name!r}, {target_name!r}")
        with with_path(target_name):
            device = os.fstat(folder_fd).st_dev
            number = self._first.get(device, 0)
            while not self._try(number, source_name, target_name, folder_fd):
                number += 1
            self._first[device] = number
            return self._ways[number][0]

    def _try(self, number: int, source_name: str, target_name: str, folder_fd: int) -> bool:
        try:
            self._ways[number][1](source_name, target_name, folder_fd)
        except OSError as error:
            if error.errno in UNSUPPORTED and number + 1 < len(self._ways):
                return False
            raise
        return True
