"""Archive a delivered source: move it to another folder without replacing anything there."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from attrs import define, field

from agent.fs import platform, root_folders, safe_open
from agent.fs.private_name import has_name
from agent.fs.publisher import Publisher
from agent.fs.syscalls import closing_fd
from agent.worker.source.archive_copy import discard_copy, has_equal_content, store_copy


@define(eq=False)
class ArchiveTarget:
    """The place of one file in the archive: a name in an open folder, which is durable.

    On another file system the file is copied before its source is touched, to the name `copy_name` there.
    """

    folder: int
    name: str
    copy_name: str
    publisher: Publisher
    heartbeat: Callable[[], None]
    _has_copy: bool = field(default=False, init=False)
    _is_stored: bool = field(default=False, init=False)

    @classmethod
    @contextmanager
    def open(
        cls, archive: str, path: str, copy_name: str, publisher: Publisher, heartbeat: Callable[[], None]
    ) -> Iterator[Self]:
        """Make the folders that lead to `path` below the archive. A copy that is not taken is removed.

        Raises:
            OSError: the archive cannot be written.
        """
        safe_open.make_root(archive)
        with (
            closing_fd(root_folders.open_root(archive)) as root,
            safe_open.parent(root, path, create=True) as (folder, name),
        ):
            # Existing folders are synced too: their creator may have been killed before the sync.
            safe_open.fsync_parents(root, path)
            target = cls(folder, name, copy_name, publisher, heartbeat)
            try:
                yield target
            finally:
                if target._has_copy:
                    discard_copy(folder, copy_name)

    def copy_if_elsewhere(self, source: int, source_folder: int, *, is_repeated: bool) -> None:
        """Store a copy of the open source if it cannot be moved here.

        `is_repeated`: an earlier request may have stored it already, under its name or the next one.

        Raises:
            OSError: the archive cannot be written.
        """
        if is_one_file_system(source_folder, self.folder):
            return
        if is_repeated and self._finds_stored(source):
            self._is_stored = True
            return
        store_copy(source, self.folder, self.copy_name, self.heartbeat)
        self._has_copy = True

    def take(self, source_folder: int, source_name: str) -> None:
        """Move the file to this name, or to the first free one beside it; it is durable there then.

        Raises:
            OSError: the archive cannot be written.
        """
        if self._has_copy or self._is_stored:
            if self._has_copy:
                self._publish_copy()
            platform.sync_folder(self.folder)
            os.unlink(source_name, dir_fd=source_folder)
        else:
            _move_exclusively(source_name, source_folder, self.name, self.folder)

    def _publish_copy(self) -> None:
        number = 0
        while self._has_copy:
            with suppress(FileExistsError):
                self.publisher.move(
                    self.copy_name, platform.conflict_name(self.folder, self.name, number), self.folder
                )
                self._has_copy, self._is_stored = False, True
            number += 1

    def _finds_stored(self, source: int) -> bool:
        number = 0
        while has_name(self.folder, name := platform.conflict_name(self.folder, self.name, number)):
            if has_equal_content(source, self.folder, name, self.heartbeat):
                return True
            number += 1
        return False


def is_one_file_system(one: int, other: int) -> bool:
    """Return whether a file can be renamed from one folder to the other; two mounts of one disk are two."""
    is_one_device = os.fstat(one).st_dev == os.fstat(other).st_dev
    return is_one_device and platform.mount_point(one) == platform.mount_point(other)


def sync_archive(archive: str, path: str) -> None:
    """Bring the entries on the way to `path` to stable storage, if they exist.

    Raises:
        OSError: they could not be stored.
    """
    with suppress(FileNotFoundError, NotADirectoryError), closing_fd(root_folders.open_root(archive)) as root:
        safe_open.fsync_parents(root, path)


def _move_exclusively(source_name: str, source_folder: int, name: str, target_folder: int) -> None:
    number = 0
    while True:
        target = platform.conflict_name(target_folder, name, number)
        try:
            platform.move_exclusively(source_name, source_folder, target, target_folder)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in platform.UNSUPPORTED:
                raise
            _link(source_name, source_folder, target, target_folder)
        else:
            platform.sync_folder(target_folder)
            return
        if _is_linked(source_name, source_folder, target, target_folder):
            platform.sync_folder(target_folder)
            os.unlink(source_name, dir_fd=source_folder)
            return
        number += 1


def _link(source_name: str, source_folder: int, target: str, target_folder: int) -> None:
    """Link unless the target name is taken; `_is_linked` then finds out whether an earlier link took it."""
    with suppress(FileExistsError):
        os.link(
            source_name, target, src_dir_fd=source_folder, dst_dir_fd=target_folder, follow_symlinks=False
        )


def _is_linked(source_name: str, source_folder: int, target: str, target_folder: int) -> bool:
    """Return whether both names link to one file."""
    source = os.stat(source_name, dir_fd=source_folder, follow_symlinks=False)
    archived = os.stat(target, dir_fd=target_folder, follow_symlinks=False)
    return os.path.samestat(source, archived)
