"""The source folder itself: create it, wait for it, open it, resolve a path to one."""

import errno
import os
import stat
import time
from contextlib import suppress

from attrs import frozen

from agent.fs import platform, root_folders, safe_open
from agent.fs.expected_mounts import expected_mount
from agent.fs.syscalls import close_unwritten, closing_fd, has_right
from agent.model.errors import Fault, FaultKind, Side, classify
from agent.model.text import is_inside, lies_above
from agent.protocol.replies import FolderResolved
from agent.protocol.requests import SourceMount

ROOT_POLL_S = 0.2


def open_root(root: str) -> int:
    """Return a descriptor of the source folder.

    Raises:
        Fault: SOURCE_OUTAGE.
    """
    try:
        return root_folders.open_root(root)
    except FileNotFoundError as error:
        raise _outage(f"{root} does not exist: mount it, or make the folder") from error
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


def prepare(root: str) -> bool:
    """Create the source folder if it is missing; return whether it was.

    The folder that holds it must be there, on a mount where one is expected: under an empty mount point a
    folder would hide that the card or share is missing, and a desktop would mount the card beside it.

    Raises:
        Fault: SOURCE_OUTAGE.
    """
    if os.path.lexists(root):
        close_unwritten(open_root(root))
        return False
    above = os.path.dirname(root)
    try:
        here, expected = platform.mount_point(above), expected_mount(os.path.realpath(root))
        if expected is not None and not is_inside(here, expected):
            raise _outage(f"{root} does not exist, and nothing is mounted at or below {expected}")
        safe_open.make_root(root)
    except FileNotFoundError as error:
        raise _outage(f"{root} does not exist, nor does the folder above it: mount or make it") from error
    except OSError as error:
        raise root_fault(error) from error
    return True


@frozen
class SourceStatus:
    """Free bytes of the source folder's file system, where that is mounted; whether files can be removed."""

    free_bytes: int
    mount_point: str
    may_remove: bool


def status(root: str, mount: SourceMount) -> SourceStatus:
    """Return the state of the source folder, after a check that it is there.

    Raises:
        Fault: SOURCE_OUTAGE: also if the folder is the one under a mount that is gone.
    """
    with closing_fd(open_mounted(root, mount)) as descriptor:
        try:
            free_bytes, _ = platform.free_bytes(descriptor)
            return SourceStatus(free_bytes, platform.mount_point(descriptor), _may_remove(descriptor))
        except OSError as error:
            raise root_fault(error) from error


def _may_remove(folder: int) -> bool:
    """Whether this user may remove files of the folder; of a card that root reads only the flag tells."""
    if os.fstatvfs(folder).f_flag & os.ST_RDONLY:
        return False
    return has_right(folder, os.W_OK | os.X_OK)


def open_mounted(root: str, mount: SourceMount) -> int:
    """Return a descriptor of the source folder, after a check that it is on its mount.

    Raises:
        Fault: SOURCE_OUTAGE.
    """
    descriptor = open_root(root)
    try:
        _check_mount(descriptor, root, mount)
    except OSError as error:
        close_unwritten(descriptor)
        raise root_fault(error) from error
    except Fault:
        close_unwritten(descriptor)
        raise
    return descriptor


def _check_mount(descriptor: int, root: str, mount: SourceMount) -> None:
    if mount.marker is not None:
        try:
            os.stat(mount.marker, dir_fd=descriptor)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _outage(f"the marker {mount.marker!r} is not in {root}") from error
    elif mount.point is not None:
        here = platform.mount_point(descriptor)
        if lies_above(here, mount.point):
            raise _outage(
                f"{mount.point} is not mounted, the source now lies on {here}: mount it, or, if this is "
                f"meant, put a file there and name it as the route's source_marker"
            )


def _outage(detail: str) -> Fault:
    return Fault(FaultKind.SOURCE_OUTAGE, detail)


def wait_for(root: str) -> None:
    """Block until the source folder exists, however long that takes."""
    while not os.path.isdir(root):
        time.sleep(ROOT_POLL_S)


def resolve_allowed_folder(path: str, roots: tuple[str, ...]) -> FolderResolved:
    """Resolve symbolic links in `path` and `roots`, and check that the folder lies below one of the roots.

    A root that does not exist, or leads to another folder than before, allows nothing.

    Raises:
        Fault: SOURCE_GONE when there is no such folder; SOURCE or SOURCE_OUTAGE when that is unknown.
    """
    try:
        resolved = os.path.realpath(path, strict=True)
        if not stat.S_ISDIR(os.stat(resolved).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    except OSError as error:
        raise classify(error, Side.SOURCE) from error
    return FolderResolved(resolved, any(_allows(root, resolved) for root in roots))


def _allows(root: str, resolved: str) -> bool:
    with suppress(OSError):
        return is_inside(resolved, root_folders.real_path(root))
    return False
