"""The kernel's mount table, and which file systems are local. Reading the table never blocks on a mount."""

import os
import re
from collections.abc import Iterator

from attrs import frozen

from agent.model.text import is_inside

MOUNT_TABLE = "/proc/self/mountinfo"

# By f_type (statfs(2), linux/magic.h): the names in the mount table. A type missing here is not local.
LOCAL = {
    0xEF53: ("ext", "ext2", "ext3", "ext4"),
    0x58465342: ("xfs",),
    0x9123683E: ("btrfs",),
    0xCA451A4E: ("bcachefs",),
    0xF2F52010: ("f2fs",),
    0x2FC12FC1: ("zfs",),
    0x3153464A: ("jfs",),
    0x52654973: ("reiserfs",),
    0x3434: ("nilfs2",),
    0x01021994: ("tmpfs", "devtmpfs"),
    0x858458F6: ("ramfs", "rootfs"),
    0x794C7630: ("overlay",),
    0x2011BAB0: ("exfat",),
    0x4D44: ("vfat", "msdos"),
    0x5346544E: ("ntfs",),
    0x7366746E: ("ntfs3",),
    0x4244: ("hfs",),
    0x482B: ("hfsplus",),
    0x00011954: ("ufs",),
    0x19540119: ("ufs",),  # UFS2
    0x137F: ("minix",),
    0x138F: ("minix",),
    0x2468: ("minix",),
    0x2478: ("minix",),
    0x4D5A: ("minix",),
    0x9660: ("iso9660",),
    0x15013346: ("udf",),
    0x73717368: ("squashfs",),
    0xE0F5E1E2: ("erofs",),
}
# The first three hold no media, or have no f_type in linux/magic.h.
_LOCAL_BY_NAME = frozenset(("apfs", "proc", "sysfs")).union(*LOCAL.values())


@frozen
class Mount:
    """One line of the mount table, proc_pid_mountinfo(5)."""

    id: int
    point: str
    file_system: str

    @property
    def is_local(self) -> bool:
        return self.file_system in _LOCAL_BY_NAME


def mounts() -> Iterator[Mount]:
    """Yield all mounts that this process sees.

    Raises:
        OSError: the table cannot be read; FileNotFoundError where the system has no such table.
    """
    with open(MOUNT_TABLE, "rb") as table:
        lines = table.read().splitlines()
    for line in lines:
        mount, _, source = line.partition(b" - ")
        number, _, _, _, point = mount.split(b" ")[:5]
        yield Mount(int(number), unescaped(point), os.fsdecode(source.partition(b" ")[0]))


def mounts_above(path: str) -> frozenset[Mount]:
    """The mounts at or above this absolute path, as it is written; empty where the table cannot be read.

    Another mount there has another id, also of the same share.
    """
    try:
        return frozenset(mount for mount in mounts() if is_inside(path, mount.point))
    except OSError:
        return frozenset()


def unescaped(field: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), field))
