"""Delete or archive delivered sources, only after a check that they are unchanged (promise S4)."""

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from agent.fs import safe_open
from agent.fs.publisher import Publisher
from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind, Side, classify
from agent.model.names import path_before_removal, split_path
from agent.protocol.replies import SourceRemoved, SourcesPutBack
from agent.protocol.requests import PutBackSources, RemoveSources, SourceToRemove
from agent.worker.for_each import for_each
from agent.worker.source.changed_folders import ChangedFolders
from agent.worker.source.delivered_source import DeliveredSource, give_name_back
from agent.worker.source.source_file import source_fault
from agent.worker.source.source_folder import calls_at_once, open_root

MAY_NOT = (errno.EACCES, errno.EPERM, errno.EROFS)  # nor would another attempt, until somebody changes that


def remove_sources(
    request: RemoveSources, publisher: Publisher, heartbeat: Callable[[], None]
) -> tuple[SourceRemoved | Fault, ...]:
    """Remove each source that is still what was delivered. May be repeated after a crash at any point.

    One that we may not remove is kept. The fault of one file is SOURCE: a process has it open for writing, or
    a call fails.

    Raises:
        Fault: SOURCE: the removals may not be durable. SOURCE_OUTAGE.
    """
    with closing_fd(open_root(request.source)) as root, ChangedFolders.open() as changed:

        def remove(file: SourceToRemove) -> SourceRemoved:
            if request.after == "keep" and not file.is_renamed:
                return SourceRemoved("the route keeps its sources")
            return _remove(request, file, root, publisher, changed, heartbeat)

        results = for_each(request.files, remove, calls_at_once(root), heartbeat)
        try:
            changed.sync()
        except OSError as error:
            raise source_fault(error) from error
        return results


def _remove(
    request: RemoveSources,
    file: SourceToRemove,
    root: int,
    publisher: Publisher,
    changed: ChangedFolders,
    heartbeat: Callable[[], None],
) -> SourceRemoved:
    try:
        with _folder_of(root, file.path) as (folder, name):
            # Without the sync the source could reappear after a power cut and be delivered again; also if an
            # earlier request has removed it.
            changed.add(file.path.rpartition("/")[0], folder)
            source = DeliveredSource(request, file, folder, name, publisher, heartbeat)
            return source.put_back() if request.after == "keep" else source.remove()
    except Fault as fault:
        if fault.kind is not FaultKind.SOURCE_GONE:
            raise
        changed.add_nearest(root, file.path)
        return SourceRemoved(None)
    except OSError as error:
        if error.errno in MAY_NOT:
            return SourceRemoved(source_fault(error).detail)
        raise source_fault(error) from error


def put_back_sources(
    request: PutBackSources, publisher: Publisher, heartbeat: Callable[[], None]
) -> SourcesPutBack:
    """Give each of these files its own name back, or the next one that is free.

    Raises:
        Fault: SOURCE or SOURCE_OUTAGE: a file cannot be renamed.
    """
    names = []
    try:
        with closing_fd(open_root(request.source)) as root, ChangedFolders.open() as changed:
            for private_path in request.private_paths:
                above, name = split_path(path_before_removal(private_path))
                with suppress(FileNotFoundError), safe_open.parent(root, private_path) as (folder, private):
                    names.append(above + give_name_back(publisher, folder, private, name))
                    changed.add(above.rstrip("/"), folder)
                heartbeat()
            changed.sync()
    except OSError as error:
        raise source_fault(error) from error
    return SourcesPutBack(tuple(names))


@contextmanager
def _folder_of(root: int, path: str) -> Iterator[tuple[int, str]]:
    """Yield the file's folder, open, and its name. Raises: Fault: SOURCE_GONE if the folder is missing."""
    with ExitStack() as opened:
        try:
            folder, name = opened.enter_context(safe_open.parent(root, path))
        except OSError as error:
            raise classify(error, Side.SOURCE) from error
        yield folder, name
