"""Publish a file: rename it within its folder without ever replacing another file."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from attrs import define, field, frozen

from agent.fs import platform
from agent.fs.file_identity import FileIdentity, IdentityMismatch
from agent.fs.platform import UNSUPPORTED, move_exclusively
from agent.fs.syscalls import with_path
from agent.model.storage import PublishStrategy

# What open(2) says of a symbolic link, and of a socket.
_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.EOPNOTSUPP}
# Its client looks the new name up, and then renames in a way that replaces at the server.
_SMB = frozenset(("cifs", "smb3", "smbfs"))


@frozen
class Publication:
    """How a file got its name. `identity`: its own under that name; None: another file may have the name."""

    strategy: PublishStrategy
    identity: FileIdentity | None


@define
class HeldPartial:
    """A verified partial, held open so that no other file can get its inode before its new name is proven.

    `identity`: None: whatever has the name, not held open.
    """

    name: str
    folder: int
    identity: FileIdentity | None = None
    _descriptor: int | None = None

    @classmethod
    @contextmanager
    def opened(cls, name: str, folder: int, expected: FileIdentity) -> Iterator[Self]:
        """Raises: IdentityMismatch: it is not that file. OSError: it cannot be opened."""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            if error.errno in _NO_FILE:
                raise IdentityMismatch(is_other_file=True) from error
            raise
        held = cls(name, folder, expected, descriptor)
        try:
            status = platform.fresh_fstat(descriptor)
            found = FileIdentity.of(status)
            is_file = stat.S_ISREG(status.st_mode)
            if not is_file or found != expected:
                raise IdentityMismatch(is_other_file=not (is_file and found.is_same_file(expected)))
            yield held
        finally:
            held.release()

    def release(self) -> None:
        """Close it: NFS and FUSE keep a name that is removed from an open file as .nfs… or .fuse_hidden…."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def has_name(self, target: str) -> bool:
        """Return whether this name is provably the file's too."""
        if self.identity is None:
            return _are_one_file(self.name, target, self.folder)
        return self.identity_at(target) is not None

    def identity_at(self, target: str) -> FileIdentity | None:
        """The file's identity under this name; None: what has the name is not provably this file.

        A file that was taken away as soon as it had its name keeps the identity that it had.
        """
        if self.identity is None:
            return None
        try:
            found = FileIdentity.of(platform.fresh_stat(target, self.folder))
        except FileNotFoundError:
            found = self._identity_of_taken(self.identity)
        return found if found.is_same_content(self.identity) else None

    def _identity_of_taken(self, known: FileIdentity) -> FileIdentity:
        with suppress(OSError):  # a server may not know a removed file any more
            if self._descriptor is not None:
                return FileIdentity.of(os.fstat(self._descriptor))
        return known


PublishStep = Callable[[HeldPartial, str], None]
Strategies = Sequence[tuple[PublishStrategy, PublishStep]]


def _by_rename(held: HeldPartial, target: str) -> None:
    move_exclusively(held.name, held.folder, target, held.folder)


def _by_link(held: HeldPartial, target: str) -> None:
    try:
        os.link(held.name, target, src_dir_fd=held.folder, dst_dir_fd=held.folder, follow_symlinks=False)
    except FileExistsError:
        if not _are_one_file(held.name, target, held.folder):
            raise
    is_proven = held.has_name(target)
    held.release()
    if is_proven:  # else the partial may be all that there is
        os.unlink(held.name, dir_fd=held.folder)


def _are_one_file(source: str, target: str, folder_fd: int) -> bool:
    """Return whether both names are links to one file.

    They are after a kill between link and unlink, or when the reply to our link was lost.
    """
    one = os.stat(source, dir_fd=folder_fd, follow_symlinks=False)
    other = os.stat(target, dir_fd=folder_fd, follow_symlinks=False)
    return os.path.samestat(one, other) and min(one.st_nlink, other.st_nlink) > 1


def _by_placeholder(held: HeldPartial, target: str) -> None:
    """Create the target exclusively, then rename over it.

    Not race-free: content written to the empty file between the check and the rename is lost.
    """
    folder_fd = held.folder
    fd = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666, dir_fd=folder_fd)
    try:
        placeholder = os.fstat(fd)
    finally:
        os.close(fd)  # before the rename: a late close could still write to the name
    try:
        if not _is_untouched(placeholder, target, folder_fd):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.rename(held.name, target, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
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


def strategies_for(file_system: str) -> Strategies:
    """Return the strategies worth trying on this type of file system (as in the mount table), best first."""
    return PUBLISH_STRATEGIES[1:] if file_system in _SMB else PUBLISH_STRATEGIES


@define
class Publisher:
    """Renames files without replacing anything, and remembers per device which strategy works.

    `strategies`: None: those for the type of the folder's file system.
    """

    _strategies: Strategies | None = None
    _left_by_device: dict[int, Strategies] = field(factory=dict, init=False)  # the first one works

    def publish(
        self, source_name: str, target_name: str, folder_fd: int, expected: FileIdentity
    ) -> Publication:
        """Rename within one folder, if the source still has this identity. The caller syncs the folder.

        A caller killed in the middle may repeat this. "placeholder" then finds its own empty file as taken.

        Raises:
            ValueError: a name contains a slash.
            IdentityMismatch: the source is not provably that file; nothing was done.
            FileExistsError: the target name is taken.
            OSError: the rename failed.
        """
        _check_names(source_name, target_name)
        with with_path(target_name), HeldPartial.opened(source_name, folder_fd, expected) as held:
            strategy = self._rename(held, target_name)
            return Publication(strategy, held.identity_at(target_name))

    def move(self, source_name: str, target_name: str, folder_fd: int) -> PublishStrategy:
        """Rename whatever has the source name, as `publish` does. Raises: as `publish`."""
        _check_names(source_name, target_name)
        with with_path(target_name):
            return self._rename(HeldPartial(source_name, folder_fd), target_name)

    def _rename(self, held: HeldPartial, target_name: str) -> PublishStrategy:
        device = os.fstat(held.folder).st_dev
        left = self._left_by_device.get(device) or self._all_for(held.folder)
        while not _try(left, held, target_name):
            left = left[1:]
        self._left_by_device[device] = left
        return left[0][0]

    def _all_for(self, folder_fd: int) -> Strategies:
        if self._strategies is not None:
            return self._strategies
        return strategies_for(platform.file_system(folder_fd))


def _check_names(source_name: str, target_name: str) -> None:
    if "/" in source_name or "/" in target_name:
        raise ValueError(f"not in one folder: {source_name!r}, {target_name!r}")


def _try(strategies: Strategies, held: HeldPartial, target_name: str) -> bool:
    """Return False when the file system lacks the first strategy and another one is left."""
    try:
        strategies[0][1](held, target_name)
    except OSError as error:
        if error.errno in UNSUPPORTED and len(strategies) > 1:
            return False
        raise
    return True
