"""Delete or archive delivered sources, only with proof (promise S4)."""

import os
from collections.abc import Callable
from contextlib import suppress

from attrs import frozen

from agent.fs import platform, safe_open
from agent.fs.descriptors import closing_fd
from agent.fs.dir_sync import DirSync
from agent.model.errors import Fault, FaultKind
from agent.model.names import conflict_path
from agent.model.source_file import WriterState
from agent.protocol.replies import SourceRemoved
from agent.protocol.requests import AfterMode, RemoveSources, SourceToRemove
from agent.worker.for_each import for_each
from agent.worker.source.source_file import (
    calls_at_once,
    check_unchanged_at,
    open_at,
    open_root,
    own_fault,
)


def remove_sources(
    request: RemoveSources, heartbeat: Callable[[], None]
) -> tuple[SourceRemoved | Fault, ...]:
    """Remove each source that is still what was delivered.

    The fault of one file is SOURCE: a process holds it open for writing, or the file system refuses.

    Raises:
        Fault: SOURCE: removals may not outlast a power cut. SOURCE_OUTAGE.
    """
    with closing_fd(open_root(request.source)) as root:
        remover = SourceRemover(DirSync(root), request.after, request.archive)
        try:
            with remover.dir_sync.batched():
                return for_each(request.files, remover.remove, calls_at_once(root), heartbeat)
        except OSError as error:
            raise own_fault(error) from error


@frozen
class SourceRemover:
    """Removes files of one source, from any thread. `archive`: an absolute path; None: delete."""

    dir_sync: DirSync
    after: AfterMode
    archive: str | None

    def remove(self, file: SourceToRemove) -> SourceRemoved:
        if self.after == "keep":
            return SourceRemoved("the route keeps its sources")
        root = self.dir_sync.root
        try:
            descriptor = open_at(root, file.path, file.signature)
            with closing_fd(descriptor), platform.read_lease(descriptor) as writer:
                _check_no_writer(writer)
                check_unchanged_at(root, file.path, descriptor, file.signature)
                self._remove(file.path)
        except Fault as fault:
            if fault.kind is FaultKind.SOURCE_GONE:
                return SourceRemoved(None)
            if fault.kind is FaultKind.SOURCE_CHANGED:
                return SourceRemoved("it was written to after it had been copied")
            raise
        except OSError as error:
            raise own_fault(error) from error
        return SourceRemoved(None)

    def _remove(self, path: str) -> None:
        with safe_open.parent(self.dir_sync.root, path) as (source_folder, name):
            if self.archive is None:
                os.unlink(name, dir_fd=source_folder)
            else:
                _archive(self.archive, path, source_folder)
        # Else the source could come back after a power cut, and be delivered once more.
        self.dir_sync.sync(path)


def _check_no_writer(writer: WriterState) -> None:
    if writer is WriterState.OPEN:
        raise Fault(FaultKind.SOURCE, "delivered, but a process holds the source open for writing")


def _archive(archive: str, path: str, source_folder: int) -> None:
    safe_open.make_root(archive)
    with (
        closing_fd(safe_open.open_root(archive)) as archive_root,
        safe_open.parent(archive_root, path, create=True) as (target_folder, name),
    ):
        safe_open.fsync_parents(
            archive_root, path
        )  # the maker of a folder may have been killed before its sync
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
    """The caller finds out afterwards whether this link, an earlier one or another file has the name."""
    with suppress(FileExistsError):
        os.link(name, target, src_dir_fd=source_folder, dst_dir_fd=target_folder, follow_symlinks=False)


def _is_linked(name: str, target: str, source_folder: int, target_folder: int) -> bool:
    """Do both names lead to one file? Within one folder a name would only find itself."""
    if os.path.sameopenfile(source_folder, target_folder):
        return False
    source = os.stat(name, dir_fd=source_folder, follow_symlinks=False)
    archived = os.stat(target, dir_fd=target_folder, follow_symlinks=False)
    return os.path.samestat(source, archived)
