"""The source folder itself: create it, wait for it, open it, resolve a path to one."""

import errno
import os
import stat
import time

from agent.fs import platform, safe_open
from agent.fs.syscalls import closing_fd
from agent.model.errors import Fault, FaultKind, Side, classify
from agent.model.text import is_inside
from agent.protocol.replies import FolderResolved

ROOT_POLL_S = 0.2


def open_root(root: str) -> int:
    """Return a descriptor of the source folder.

    Raises:
        Fault: SOURCE_OUTAGE.
    """
    try:
        return safe_open.open_root(root)
    except OSError as error:
        raise root_fault(error) from error


def root_fault(error: OSError) -> Fault:
    """Map an error of the source folder itself: its route pauses, and no file is at fault."""
    fault = classify(error, Side.SOURCE)
    if fault.kind is FaultKind.SHORTAGE:
        return fault
    return Fault(FaultKind.SOURCE_OUTAGE, fault.detail)


def calls_at_once(root: int) -> int:
    """Return how many calls for different files below this open folder are worth running in parallel.

    Raises:
        Fault: SOURCE_OUTAGE.
    """
    try:
        return platform.calls_at_once(root)
    except OSError as error:
        raise root_fault(error) from error


def prepare(root: str) -> None:
    """Create the source folder if it is missing.

    Raises:
        Fault: SOURCE_OUTAGE.
    """
    try:
        os.makedirs(root, exist_ok=True)
    except OSError as error:
        raise root_fault(error) from error


def wait_for(root: str) -> None:
    """Block until the source folder exists, however long that takes."""
    while not os.path.isdir(root):
        time.sleep(ROOT_POLL_S)


def free_bytes(root: str) -> int:
    """Return how many bytes other programs can still write to the source folder's file system.

    Raises:
        Fault: SOURCE_OUTAGE.
    """
    with closing_fd(open_root(root)) as descriptor:
        try:
            return platform.free_bytes(descriptor)[0]
        except OSError as error:
            raise root_fault(error) from error


def resolve_allowed_folder(path: str, roots: tuple[str, ...]) -> FolderResolved:
    """Resolve symbolic links in `path` and `roots`, and check that the folder lies below one of the roots.

    A root that does not exist allows nothing.

    Raises:
        Fault: SOURCE_GONE when there is no such folder; SOURCE or SOURCE_OUTAGE when that is unknown.
    """
    try:
        resolved = os.path.realpath(path, strict=True)
        if not stat.S_ISDIR(os.stat(resolved).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    is_allowed = any(is_inside(resolved, os.path.realpath(root)) for root in roots)
    return FolderResolved(resolved, is_allowed)
