"""The spellings of a path, found without touching anything that another machine may be slow to answer for.

A stat on a hung mount never returns, and a thread that is stuck in one keeps the process from ending. The
kernel's own table of mounts can be read without touching them: at and below a mount point whose file system
is not known to be local, a path is taken as it is written.
"""

import os
import re
import stat

from attrs import frozen

MOUNT_TABLE = "/proc/self/mountinfo"
LINKS_AT_MOST = 40  # as Linux itself, path_resolution(7)

_LOCAL = frozenset(
    {
        b"apfs",
        b"bcachefs",
        b"btrfs",
        b"devtmpfs",
        b"erofs",
        b"exfat",
        b"ext2",
        b"ext3",
        b"ext4",
        b"f2fs",
        b"hfs",
        b"hfsplus",
        b"iso9660",
        b"jfs",
        b"minix",
        b"msdos",
        b"nilfs2",
        b"ntfs",
        b"ntfs3",
        b"overlay",
        b"proc",
        b"ramfs",
        b"reiserfs",
        b"rootfs",
        b"squashfs",
        b"sysfs",
        b"tmpfs",
        b"udf",
        b"ufs",
        b"vfat",
        b"xfs",
        b"zfs",
    }
)
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@frozen
class Mounts:
    """Where file systems are mounted that may not answer."""

    remote: tuple[str, ...]

    @classmethod
    def now(cls) -> "Mounts":
        """As the kernel tells, proc_pid_mountinfo(5); where there is no such table, none is known."""
        try:
            with open(MOUNT_TABLE, "rb") as table:
                return cls(tuple(_remote(table.read())))
        except FileNotFoundError:
            return cls(())

    def holds(self, path: str) -> bool:
        """Does an absolute path without links lead to one of them?"""
        return any(f"{path}/".startswith(f"{point.rstrip('/')}/") for point in self.remote)


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


def _remote(table: bytes) -> list[str]:
    points = []
    for line in table.splitlines():
        mount, _, file_system = line.partition(b" - ")
        kind, point = file_system.partition(b" ")[0], mount.split(b" ")[4]
        if kind not in _LOCAL:
            points.append(os.fsdecode(_ESCAPE.sub(lambda octal: bytes([int(octal[1], 8)]), point)))
    return points
