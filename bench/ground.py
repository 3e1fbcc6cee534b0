"""Two file systems of their own, so that a copy crosses from one to the other and a cache can be dropped."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from attrs import define, field

from tests.mounts.mounts import unmount

INODE_BYTES = 4096  # of space to each inode: enough of them for small files
RESERVE_BYTES = 512 << 20  # for the file system's own tables, a journal of ours, a log


class CannotMeasure(Exception):  # noqa: N818  a state of affairs, not a mistake
    """One line that says what is missing."""


def needed(*programs: str) -> None:
    """Raises: CannotMeasure: not root, or one of these programs is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if os.geteuid() != 0:
        missing.insert(0, "root (for mounting)")
    if missing:
        raise CannotMeasure(f"missing: {', '.join(missing)}")


@define(eq=False)
class Disk:
    """An ext4 in an image file, past the cache of whatever the image lies on (direct I/O)."""

    path: Path
    image: Path
    _device: str = field(default="", init=False)

    @classmethod
    @contextmanager
    def at(cls, folder: Path, name: str, size_bytes: int) -> Iterator[Self]:
        """Made, mounted and, at the end, removed. The image is allocated, not sparse."""
        disk = cls(folder / name, folder / f"{name}.image")
        disk.path.mkdir()
        with ExitStack() as undo:
            undo.callback(disk.image.unlink, missing_ok=True)
            with disk.image.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            _run("mkfs.ext4", "-q", "-F", "-m", "0", "-i", str(INODE_BYTES), *_PLAIN, str(disk.image))
            command = ["losetup", "--find", "--show", "--direct-io=on", str(disk.image)]
            disk._device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            undo.callback(_run, "losetup", "--detach", disk._device)
            disk.mount()
            undo.callback(disk._detach)
            yield disk

    def mount(self) -> None:
        _run("mount", self._device, str(self.path))

    def forget(self) -> None:
        """Everything is on the device, and nothing of it in a cache."""
        unmount(self.path)
        self.mount()

    def _detach(self) -> None:
        with suppress(OSError):
            unmount(self.path, lazily=True)  # whoever is left in it, nothing stays behind


_PLAIN = ("-E", "lazy_itable_init=0,lazy_journal_init=0")  # nothing is left to be done during a measurement


@define
class Ground:
    """Where everything is carried from and to. `home`: the agent's, on the disk of the source."""

    near: Disk
    far: Disk

    @classmethod
    @contextmanager
    def of(cls, size_bytes: int) -> Iterator[Self]:
        """Room for so much on either side, below `$TMPDIR`. Raises: CannotMeasure: there is none."""
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            wanted_bytes = 2 * (size_bytes + RESERVE_BYTES)
            if shutil.disk_usage(folder).free < wanted_bytes:
                raise CannotMeasure(f"{wanted_bytes >> 30} GiB free in {folder.parent} (TMPDIR)")
            with (
                Disk.at(folder, "near", size_bytes + RESERVE_BYTES) as near,
                Disk.at(folder, "far", size_bytes + RESERVE_BYTES) as far,
            ):
                ground = cls(near, far)
                yield ground

    @property
    def masters(self) -> Path:
        return self.near.path / "masters"

    @property
    def source(self) -> Path:
        return self.near.path / "source"

    @property
    def home(self) -> Path:
        return self.near.path / "home"

    @property
    def destination(self) -> Path:
        return self.far.path / "destination"

    def set_up(self) -> None:
        """The source full (with links to the masters), the destination empty, both caches cold."""
        for folder in (self.source, self.home, self.destination):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for master in self.masters.iterdir():
            (self.source / master.name).hardlink_to(master)
        self.near.forget()
        self.far.forget()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
