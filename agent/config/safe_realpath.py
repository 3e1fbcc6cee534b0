"""The spellings of a path, found without touching anything that another machine may be slow to answer for.

A stat on a hung mount never returns, and a thread that is stuck in one keeps the process from ending. The
kernel's own table of mounts can be read without touching them: at and below a mount point whose file system
is not known to be local, a path is taken as it is written.
"""

import os
import stat

from attrs import frozen

from agent.fs.mount_table import mounts
from agent.model.text import is_inside

LINKS_AT_MOST = 40  # as Linux itself, path_resolution(7)


@frozen
class Mounts:
    """Where file systems are mounted that may not answer."""

    remote: tuple[str, ...]

    @classmethod
    def now(cls) -> "Mounts":
        """As the kernel lists them; where there is no such table, none is known."""
        try:
            return cls(tuple(mount.point for mount in mounts() if not mount.is_local))
        except FileNotFoundError:
            return cls(())

    def holds(self, path: str) -> bool:
        """Does an absolute path without links lead to one of them?"""
        return any(is_inside(path, point) for point in self.remote)


def spellings(path: str) -> frozenset[str]:
    """An absolute path as it is written, and with its symbolic links resolved as far as that is safe."""
    return frozenset((path, _resolved(path, Mounts.now())[0]))


def is_no_folder(path: str) -> bool:
    """True for what stands there and is something else; what cannot be asked now may be a folder later."""
    place, is_whole = _resolved(path, Mounts.now())
    if not is_whole:
        return False
    try:
        return not stat.S_ISDIR(os.lstat(place).st_mode)
    except OSError:
        return False


def _resolved(path: str, mounts: Mounts) -> tuple[str, bool]:
    """The path without links, and whether that holds to its end: else the rest is as it was written."""
    here, rest, links = "/", path.split("/")[::-1], 0
    while rest:
        name = rest.pop()
        there = os.path.normpath(f"{here}/{name}")  # `here` has no links, so ".." is its parent
        if mounts.holds(there):
            return os.path.normpath("/".join((there, *rest[::-1]))), False
        target = _link(there)
        if target is None or links == LINKS_AT_MOST:
            here = there
            continue
        links += 1
        here = "/" if target.startswith("/") else here
        rest += target.split("/")[::-1]
    return here, True


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
