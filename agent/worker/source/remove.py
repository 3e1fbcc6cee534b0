"""Delete or archive delivered sources, only after a check that they are unchanged (promise S4)."""

import os
from collections.abc import Callable
from contextlib import suppress

from agent.fs import platform, safe_open
from agent.fs.safe_open import DirSync
from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind
from agent.model.names import conflict_path
from agent.model.source_file import WriterState
from agent.protocol.replies import SourceRemoved
from agent.protocol.requests import RemoveSources, SourceToRemove
from agent.worker.for_each import for_each
from agent.worker.source.source_file import check_unchanged_at, open_at, source_fault
from agent.worker.source.source_folder import calls_at_once, open_root


def remove_sources(
    request: RemoveSources, heartbeat: Callable[[], None]
) -> tuple[SourceRemoved | Fault, ...]:
    """Remove each source that is still what was delivered.

    The fault of one file is SOURCE: a process has it open for writing, or the file system refuses.

    Raises:
        Fault: SOURCE: the removals may not be durable. SOURCE_OUTAGE.
    """
    with closing_fd(open_root(request.source)) as folder:
        folder_sync = DirSync(folder)

        def remove(file: SourceToRemove) -> SourceRemoved:
            return SourceRemoved(_remove_or_keep(request, file, folder_sync))

        try:
            with folder_sync.batched():
                return for_each(request.files, remove, calls_at_once(folder), heartbeat)
        except OSError as error:
            raise source_fault(error) from error


def _remove_or_keep(request: RemoveSources, file: SourceToRemove, folder_sync: DirSync) -> str | None:
    """Return None when the source is removed, else the reason why it was kept."""
    if request.after == "keep":
        return "the route keeps its sources"
    try:
        descriptor = open_at(folder_sync.root, file.path, file.signature)
        with closing_fd(descriptor), platform.read_lease(descriptor) as writer:
            _check_no_writer(writer)
            check_unchanged_at(folder_sync.root, file.path, descriptor, file.signature)
            _remove(folder_sync, file.path, request.archive)
    except Fault as fault:
        if fault.kind is FaultKind.SOURCE_GONE:
            return None
        if fault.kind is FaultKind.SOURCE_CHANGED:
            return "it was written to after it had been copied"
        raise
    except OSError as error:
        raise source_fault(error) from error
    return None


def _check_no_writer(writer: WriterState) -> None:
    if writer is WriterState.OPEN:
        raise Fault(FaultKind.SOURCE, "delivered, but a process holds the source open for writing")


def _remove(folder_sync: DirSync, path: str, archive: str | None) -> None:
    with safe_open.parent(folder_sync.root, path) as (source_folder, name):
        if archive is None:
            os.unlink(name, dir_fd=source_folder)
        else:
            _archive(archive, path, source_folder)
    # Without the sync the source could reappear after a power cut and be delivered again.
    folder_sync.sync(path)


def _archive(archive: str, path: str, source_folder: int) -> None:
    safe_open.make_root(archive)
    with (
        closing_fd(safe_open.open_root(archive)) as archive_root,
        safe_open.parent(archive_root, path, create=True) as (target_folder, name),
    ):
        # Existing folders are synced too: their creator may have been killed before the sync.
        safe_open.fsync_parents(archive_root, path)
        _move_exclusively(source_folder, target_folder, name)


def _move_exclusively(source_folder: int, target_folder: int, name: str) -> None:
    """Move within one file system to the first free name; no file is replaced."""
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
    """Link unless the target name is taken; `_is_linked` then finds out whether an earlier link took it."""
    with suppress(FileExistsError):
        os.link(name, target, src_dir_fd=source_folder, dst_dir_fd=target_folder, follow_symlinks=False)


def _is_linked(name: str, target: str, source_folder: int, target_folder: int) -> bool:
    """Return whether both names link to one file; False within one folder, where they may be one name."""
    if os.path.sameopenfile(source_folder, target_folder):
        return False
    source = os.stat(name, dir_fd=source_folder, follow_symlinks=False)
    archived = os.stat(target, dir_fd=target_folder, follow_symlinks=False)
    return os.path.samestat(source, archived)
