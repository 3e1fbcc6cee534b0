"""Publish a file: rename it within its folder without ever replacing another file."""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

from agent.fs.platform import UNSUPPORTED, move_exclusively
from agent.fs.syscalls import with_path

PublishStrategy = Literal["rename", "link", "placeholder"]
PublishStep = Callable[[str, str, int], None]  # source name, target name, folder descriptor
Strategies = Sequence[tuple[PublishStrategy, PublishStep]]


def _by_rename(source: str, target: str, folder_fd: int) -> None:
    move_exclusively(source, folder_fd, target, folder_fd)


def _by_link(source: str, target: str, folder_fd: int) -> None:
    try:
        os.link(source, target, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
    except FileExistsError:
        if not _are_one_file(source, target, folder_fd):
            raise
    os.unlink(source, dir_fd=folder_fd)


def _are_one_file(source: str, target: str, folder_fd: int) -> bool:
    """Return whether both names are links to one file.

    They are after a kill between link and unlink, or when the reply to our link was lost.
    """
    one = os.stat(source, dir_fd=folder_fd, follow_symlinks=False)
    other = os.stat(target, dir_fd=folder_fd, follow_symlinks=False)
    return os.path.samestat(one, other) and min(one.st_nlink, other.st_nlink) > 1


def _by_placeholder(source: str, target: str, folder_fd: int) -> None:
    """Create the target exclusively, then rename over it.

    Not race-free: content written to the empty file between the check and the rename is lost.
    """
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


PUBLISH_STRATEGIES: Strategies = (
    ("rename", _by_rename),
    ("link", _by_link),
    ("placeholder", _by_placeholder),
)


class Publisher:
    """Renames files without replacing anything, and remembers per device which strategy works."""

    def __init__(self, strategies: Strategies = PUBLISH_STRATEGIES) -> None:
        self._strategies = tuple(strategies)
        self._first_working: dict[int, int] = {}  # by device: index of the first strategy that works

    def publish(self, source_name: str, target_name: str, folder_fd: int) -> PublishStrategy:
        """Rename within one folder and return the strategy that worked. The caller syncs the folder.

        A caller killed in the middle may repeat this. "placeholder" then finds its own empty file as taken.

        Raises:
            ValueError: a name contains a slash.
            FileExistsError: the target name is taken.
            OSError: the rename failed.
        """
        if "/" in source_name or "/" in target_name:
            raise ValueError(f"not in one folder: {source_name!r}, {target_name!r}")
        with with_path(target_name):
            device = os.fstat(folder_fd).st_dev
            number = self._first_working.get(device, 0)
            while not self._try(number, source_name, target_name, folder_fd):
                number += 1
            self._first_working[device] = number
            return self._strategies[number][0]

    def _try(self, number: int, source_name: str, target_name: str, folder_fd: int) -> bool:
        """Return False when the file system lacks this strategy and another one is left."""
        try:
            self._strategies[number][1](source_name, target_name, folder_fd)
        except OSError as error:
            if error.errno in UNSUPPORTED and number + 1 < len(self._strategies):
                return False
            raise
        return True
