"""Archive a delivered source: move it to another folder without replacing anything there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from attrs import frozen

from agent.fs import platform, safe_open
from agent.fs.syscalls import closing_fd
from agent.model.names import conflict_path


@frozen
class ArchiveTarget:
    """The place of one file in the archive: a name in an open folder, which is durable."""

    folder: int
    name: str

    @classmethod
    @contextmanager
    def open(cls, archive: str, path: str) -> Iterator[Self]:
        """Make the folders that lead to `path` below the archive.

        Raises:
            OSError: the archive cannot be written.
        """
        safe_open.make_root(archive)
        with (
            closing_fd(safe_open.open_root(archive)) as root,
            safe_open.parent(root, path, create=True) as (folder, name),
        ):
            # Existing folders are synced too: their creator may have been killed before the sync.
            safe_open.fsync_parents(root, path)
            yield cls(folder, name)

    def take(self, source_folder: int, source_name: str) -> None:
        """Move the file to this name, or to the first free one beside it; it is durable there then.

        Raises:
            OSError: the archive cannot be written, or is on another file system.
        """
        _move_exclusively(source_name, source_folder, self.name, self.folder)


def sync_archive(archive: str, path: str) -> None:
    """Bring the entries on the way to `path` to stable storage, if they exist.

    Raises:
        OSError: they could not be stored.
    """
    with suppress(FileNotFoundError, NotADirectoryError), closing_fd(safe_open.open_root(archive)) as root:
        safe_open.fsync_parents(root, path)


def _move_exclusively(source_name: str, source_folder: int, name: str, target_folder: int) -> None:
    number = 0
    while True:
        target = conflict_path(name, number)
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
