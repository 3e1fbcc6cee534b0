"""Real paths, resolved without touching a mount whose server may not answer.

A stat on a hung mount never returns, and a thread blocked in one keeps the process from ending. The kernel's
mount table can be read without touching any mount. At and below a mount point whose file system is not known
to be local, a path is taken as it is written.
"""

import os
import stat

from attrs import frozen

from agent.fs.mount_table import mounts
from agent.model.text import is_inside

LINKS_AT_MOST = 40  # as Linux itself, path_resolution(7)


@frozen
class RemoteMounts:
    """The mount points of file systems that may not answer."""

    remote: tuple[str, ...]

    @classmethod
    def read(cls) -> "RemoteMounts":
        """The mounts in the kernel's table; none where there is no such table."""
        try:
            return cls(tuple(mount.point for mount in mounts() if not mount.is_local))
        except FileNotFoundError:
            return cls(())

    def contains(self, path: str) -> bool:
        """True if this absolute path without links is at or below one of them."""
        return any(is_inside(path, point) for point in self.remote)


def path_and_realpath(path: str) -> frozenset[str]:
    """An absolute path as it is written, and its real path as far as that can be resolved safely."""
    return frozenset((path, _resolved(path, RemoteMounts.read())[0]))


def exists_but_is_no_folder(path: str) -> bool:
    """True if a file or another object exists there; False if the path cannot be looked up now."""
    real, is_complete = _resolved(path, RemoteMounts.read())
    if not is_complete:
        return False
    try:
        return not stat.S_ISDIR(os.lstat(real).st_mode)
    except OSError:
        return False


def _resolved(path: str, remote: RemoteMounts) -> tuple[str, bool]:
    """The path without links, and True if all of it was resolved; else its rest is as it was written."""
    here, rest, links = "/", path.split("/")[::-1], 0
    while rest:
        name = rest.pop()
        there = os.path.normpath(f"{here}/{name}")  # `here` has no links, so ".." is its parent
        if remote.contains(there):
            return os.path.normpath("/".join((there, *rest[::-1]))), False
        target = _link_target(there)
        if target is None or links == LINKS_AT_MOST:
            here = there
            continue
        links += 1
        here = "/" if target.startswith("/") else here
        rest += target.split("/")[::-1]
    return here, True


def _link_target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
