"""Where this machine is meant to have a file system mounted, whether it is there now or not."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress

from agent.fs.mount_table import unescaped
from agent.model.text import is_inside

FSTAB = "/etc/fstab"
# The administrator's and the generated units; of those that packages bring, not all are in use.
UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator")
MOUNT_FOLDERS = ("/mnt", "/media", "/run/media", "/Volumes")  # by custom, what is below them is mounted
_MASKED = "/dev/null"


def expected_mount(path: str) -> str | None:
    """Return the folder at or above this absolute path where a mount is expected, or below which it is.

    It is the innermost one that fstab(5) or a systemd.mount(5) unit names, the root file system aside, or
    else one of `MOUNT_FOLDERS` that contains the path. None: nothing says that the path is on a mount.
    """
    named = [point for point in _named_points() if point != "/" and is_inside(path, point)]
    if named:
        return max(named, key=len)
    return next((folder for folder in MOUNT_FOLDERS if path != folder and is_inside(path, folder)), None)


def _named_points() -> Iterator[str]:
    with suppress(OSError), open(FSTAB, "rb") as table:
        for line in table:
            fields = line.split()
            if len(fields) > 1 and not fields[0].startswith(b"#"):
                yield os.path.normpath(unescaped(fields[1]))
    for folder in UNIT_FOLDERS:
        with suppress(OSError), os.scandir(folder) as units:
            yield from (_mount_point(unit.name) for unit in units if _is_mount_unit(unit))


def _is_mount_unit(unit: "os.DirEntry[str]") -> bool:
    if not unit.name.endswith((".mount", ".automount")):
        return False
    return not (unit.is_symlink() and os.readlink(unit.path) == _MASKED)


def _mount_point(unit_name: str) -> str:
    """Return the mount point of a unit, from which systemd.unit(5) makes its name."""
    escaped = os.fsencode(unit_name.rpartition(".")[0].replace("-", "/"))
    path = re.sub(rb"\\x([0-9a-f]{2})", lambda octet: bytes([int(octet[1], 16)]), escaped)
    return "/" + os.fsdecode(path).lstrip("/")
