"""Letting go of a delivered source: deleted or archived only with proof (promise S4)."""

import os
from contextlib import suppress

from agent.fs import platform, safe_open
from agent.fs.descriptors import closing_fd
from agent.fs.dir_sync import DirSync
from agent.model.errors import Fault, FaultKind
from agent.model.names import conflict_path
from agent.model.source_file import Signature, WriterState
from agent.protocol.requests import AfterMode
from agent.worker.source.source_file import check_unchanged_at, open_at, open_root, own_fault


def remove_source(
    root: str, path: str, expected: Signature, after: AfterMode, archive: str | None
) -> str | None:
    """None when the source is gone from its place, else why it was kept.

    Raises:
        Fault: SOURCE: a process holds it open for writing, or the file system refuses.
    """
    with closing_fd(open_root(root)) as folder:
        return remove_source_at(DirSync(folder), path, expected, after, archive)


def remove_source_at(
    ways: DirSync, path: str, expected: Signature, after: AfterMode, archive: str | None
) -> str | None:
    """As `remove_source`; durable when `ways` are."""
    if after == "keep":
        return "the route keeps its sources"
    try:
        descriptor = open_at(ways.root, path, expected)
        with closing_fd(descriptor), platform.read_lease(descriptor) as writer:
            _check_no_writer(writer)
            check_unchanged_at(ways.root, path, descriptor, expected)
            _remove(ways, path, archive)
    except Fault as fault:
        if fault.kind is FaultKind.SOURCE_GONE:
            return None
        if fault.kind is FaultKind.SOURCE_CHANGED:
            return "it was written to after it had been copied"
        raise
    except OSError as error:
        raise own_fault(error) from error
    return None


def _check_no_writer(writer: WriterState) -> None:
    if writer is WriterState.OPEN:
        raise Fault(FaultKind.SOURCE, "delivered, but a process holds the source open for writing")


def _remove(ways: DirSync, path: str, archive: str | None) -> None:
    with safe_open.parent(ways.root, path) as (source_folder, name):
        if archive is None:
            os.unlink(name, dir_fd=source_folder)
        else:
            _archive(archive, path, source_folder)
    # Or else it might come back after a power cut, and be delivered once more.
    ways.sync(path)


def _archive(archive: str, path: str, source_folder: int) -> None:
    safe_open.make_root(archive)
    with (
        closing_fd(safe_open.open_root(archive)) as archive_root,
        safe_open.parent(archive_root, path, create=True) as (target_folder, name),
    ):
        safe_open.fsync_parents(
            archive_root, path
        )  # whoever made a folder may have been killed before he did
        _move_exclusively(source_folder, target_folder, name)


def _move_exclusively(source_folder: int, target_folder: int, name: str) -> None:
    """Within one file system, never over another file."""
    number = 0
    while True:
        target = conflict_path(name, number)
        try:
            platform.move_exclusively(name, source_folder, target, target_folder)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in platform.UNSUPPORTED:
                raise
            _link(name, target, source_folder, target_folder)
        else:
            platform.sync_folder(target_folder)
            return
        if _is_linked(name, target, source_folder, target_folder):
            platform.sync_folder(target_folder)
            os.unlink(name, dir_fd=source_folder)
            return
        number += 1


def _link(name: str, target: str, source_folder: int, target_folder: int) -> None:
    """Whether it was this link or an earlier one, or another file has the name, is seen afterwards."""
    with suppress(FileExistsError):
        os.link(name, target, src_dir_fd=source_folder, dst_dir_fd=target_folder, follow_symlinks=False)


def _is_linked(name: str, target: str, source_folder: int, target_folder: int) -> bool:
    """Do both names lead to one file? Within one folder a name would only find itself."""
    if os.path.sameopenfile(source_folder, target_folder):
        return False
    source = os.stat(name, dir_fd=source_folder, follow_symlinks=False)
    archived = os.stat(target, dir_fd=target_folder, follow_symlinks=False)
    return os.path.samestat(source, archived)
