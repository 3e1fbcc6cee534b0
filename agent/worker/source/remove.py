"""Delete or archive delivered sources, only after a check that they are unchanged (promise S4)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from agent.fs import safe_open
from agent.fs.publisher import Publisher
from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind, Side, classify
from agent.protocol.replies import SourceRemoved
from agent.protocol.requests import RemoveSources, SourceToRemove
from agent.worker.for_each import for_each
from agent.worker.source.changed_folders import ChangedFolders
from agent.worker.source.delivered_source import DeliveredSource
from agent.worker.source.source_file import source_fault
from agent.worker.source.source_folder import calls_at_once, open_root


def remove_sources(
    request: RemoveSources, publisher: Publisher, heartbeat: Callable[[], None]
) -> tuple[SourceRemoved | Fault, ...]:
    """Remove each source that is still what was delivered. May be repeated after a crash at any point.

    The fault of one file is SOURCE: a process has it open for writing, or the file system refuses.

    Raises:
        Fault: SOURCE: the removals may not be durable. SOURCE_OUTAGE.
    """
    with closing_fd(open_root(request.source)) as root, ChangedFolders.open() as changed:

        def remove(file: SourceToRemove) -> SourceRemoved:
            if request.after == "keep" and not file.is_renamed:
                return SourceRemoved("the route keeps its sources")
            return _remove(request, file, root, publisher, changed)

        results = for_each(request.files, remove, calls_at_once(root), heartbeat)
        try:
            changed.sync()
        except OSError as error:
            raise source_fault(error) from error
        return results


def _remove(
    request: RemoveSources, file: SourceToRemove, root: int, publisher: Publisher, changed: ChangedFolders
) -> SourceRemoved:
    try:
        with _folder_of(root, file.path) as (folder, name):
            # Without the sync the source could reappear after a power cut and be delivered again; also if an
            # earlier request has removed it.
            changed.add(file.path.rpartition("/")[0], folder)
            source = DeliveredSource(request, file, folder, name, publisher)
            return source.put_back() if request.after == "keep" else source.remove()
    except Fault as fault:
        if fault.kind is not FaultKind.SOURCE_GONE:
            raise
        changed.add_nearest(root, file.path)
        return SourceRemoved(None)
    except OSError as error:
        raise source_fault(error) from error


@contextmanager
def _folder_of(root: int, path: str) -> Iterator[tuple[int, str]]:
    """Yield the file's folder, open, and its name. Raises: Fault: SOURCE_GONE if the folder is missing."""
    with ExitStack() as opened:
        try:
            folder, name = opened.enter_context(safe_open.parent(root, path))
        except OSError as error:
            raise classify(error, Side.SOURCE) from error
        yield folder, name
