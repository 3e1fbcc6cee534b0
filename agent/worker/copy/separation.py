"""Whether source and destination are separate: one folder can be seen through two mounts, as two devices.

Attributes do not tell (a second mount of a share, overlays, unions of folders), so a temporary file of ours
is created on one side and looked for on the other.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from agent.fs import root_folders, safe_open
from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind, Side, classify
from agent.model.names import split_path
from agent.protocol.requests import CheckSeparateFiles, CheckSeparateRoots
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.destinations import factory
from agent.worker.destinations.base import Destination
from agent.worker.source.source_folder import open_root, root_fault

# Where a folder refuses new files no source can be removed, except where there is no room.
_CANNOT_CREATE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def check_roots(request: CheckSeparateRoots, destination: Destination, io_side: IoSideTracker) -> None:
    """Check that a file created at the destination shows neither in the source nor in a folder above it.

    Raises:
        Fault: SOURCE_OUTAGE: it shows, or the source cannot be read. DESTINATION. BUSY: to be tried again.
    """
    root, probe = request.destination.root, request.probe
    with factory.temporary(request.destination, probe):
        with io_side.at_source():
            seen_at = next((place for place in _places(request.source, root, probe) if _is_at(place)), None)
        if seen_at is not None:
            why = (
                f"a file made in the destination {root} shows in {os.path.dirname(seen_at)}: source and "
                f"destination are one folder, or one contains the other; give the route another destination"
            )
            raise Fault(FaultKind.SOURCE_OUTAGE, why)
        if not destination.exists(probe):
            raise Fault(FaultKind.BUSY, "a search for orphans has removed the probe")


def _places(source: str, destination: str, name: str) -> Iterator[str]:
    """Where the file would be seen if the destination were the source, above it, or below it."""
    try:
        above = source = root_folders.real_path(source)
    except OSError as error:
        raise root_fault(error) from error
    while True:
        yield os.path.join(above, name)
        if above == (above := os.path.dirname(above)):
            break
    below = ""
    for part in reversed(os.path.realpath(destination).split(os.sep)[1:]):
        below = os.path.join(part, below) if below else part
        yield os.path.join(source, below, name)


def _is_at(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    except OSError as error:
        raise root_fault(error) from error
    return True


def check_files(request: CheckSeparateFiles, destination: Destination, io_side: IoSideTracker) -> None:
    """Check the folders of the two files, in both directions if the request says so.

    Raises:
        Fault: CONFLICT: they are one folder. SOURCE, SOURCE_OUTAGE, DESTINATION, BUSY.
    """
    beside_source = split_path(request.path)[0] + split_path(request.temporary)[1]
    with io_side.at_source():
        root = open_root(request.source)
    with closing_fd(root):
        if request.at_source:
            with io_side.at_source():
                _remove(root, beside_source)  # a check that was killed may have left it
        with factory.temporary(request.destination, request.temporary) as is_made:
            if is_made:
                with io_side.at_source():
                    _refuse(request, is_same=_exists(root, beside_source))
                if not destination.exists(request.temporary):
                    raise Fault(FaultKind.BUSY, "a search for orphans has removed the temporary file")
        if request.at_source:
            with _temporary_at_source(root, beside_source, io_side) as is_made:
                if is_made:
                    _refuse(request, is_same=destination.exists(request.temporary))


def _refuse(request: CheckSeparateFiles, *, is_same: bool) -> None:
    if is_same:
        why = (
            f"{request.path!r} at the destination {request.destination.root} is the source file itself, seen "
            f"through another mount: there is no copy, and nothing was deleted"
        )
        raise Fault(FaultKind.CONFLICT, why)


@contextmanager
def _temporary_at_source(root: int, path: str, io_side: IoSideTracker) -> Iterator[bool]:
    """Yield whether the file could be created; it is gone when the block ends."""
    is_made = False
    with io_side.at_source(), _source_faults():
        is_made = safe_open.make_temporary(root, path)
    try:
        yield is_made
    finally:
        with io_side.at_source():
            _remove(root, path)


def _remove(root: int, path: str) -> None:
    with _source_faults(), suppress(FileNotFoundError, NotADirectoryError):
        safe_open.unlink_at(root, path)


@contextmanager
def _source_faults() -> Iterator[None]:
    """Raise errors of this block as faults, except that the folder takes no new files."""
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_CREATE:
            raise classify(error, Side.SOURCE) from error


def _exists(root: int, path: str) -> bool:
    try:
        safe_open.stat_at(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    return True
