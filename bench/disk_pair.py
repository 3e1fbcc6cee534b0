"""Two separate file systems, so that copies cross from one to the other and caches can be dropped."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from attrs import define, field

from bench.link import Link, in_pieces, throttled
from bench.requirements import CannotMeasure, require
from tests.mounts.mounts import unmount

INODE_BYTES = 4096  # of space for each inode: enough inodes for small files
RESERVE_BYTES = 512 << 20  # for the file system's own tables, the agent's journal and log
PROBE_S = 2  # of full rate, to check the link


@define(eq=False)
class Disk:
    """An ext4 file system in an image file, with direct I/O: the image is not cached a second time."""

    path: Path
    image: Path
    _device: str = field(default="", init=False)
    _link: Link | None = field(default=None, init=False)

    @classmethod
    @contextmanager
    def at(cls, folder: Path, name: str, size_bytes: int, link_bytes_s: int | None = None) -> Iterator[Self]:
        """Create and mount it; remove it at the end. The image is allocated, not sparse.

        `link_bytes_s`: rate of the link in front of it in each direction; None: no limit.
        """
        disk = cls(folder / name, folder / f"{name}.image")
        disk.path.mkdir()
        with ExitStack() as undo:
            undo.callback(disk.image.unlink, missing_ok=True)
            with disk.image.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            _run("mkfs.ext4", "-q", "-F", "-m", "0", "-i", str(INODE_BYTES), *_PLAIN, str(disk.image))
            disk._device = undo.enter_context(_loop(str(disk.image)))
            if link_bytes_s is not None:
                disk._link = undo.enter_context(throttled(disk._device, link_bytes_s))
                disk._device = undo.enter_context(_loop(disk._device))
                in_pieces(disk._device)
            disk.mount()
            undo.callback(disk._detach)
            yield disk

    def mount(self) -> None:
        _run("mount", self._device, str(self.path))

    def drop_cache(self) -> None:
        """Write everything to the device and drop it from the cache, by unmounting and mounting."""
        unmount(self.path)
        self.mount()

    @contextmanager
    def without_limit(self) -> Iterator[None]:
        """Without the limit of the link, for work that is not measured."""
        if self._link is not None:
            self._link.lift()
        yield
        if self._link is not None:
            self._link.limit()

    def _detach(self) -> None:
        with suppress(OSError):
            unmount(self.path, lazily=True)  # also if a process still uses it

    def rates(self, size_bytes: int) -> tuple[float, float]:
        """Bytes a second of one plain file, written with fsync and read with a cold cache."""
        path, began_s = self.path / "rate", time.monotonic()
        with path.open("wb") as file:
            for _ in range(size_bytes // len(_ZEROES)):
                file.write(_ZEROES)
            os.fsync(file.fileno())
        write_s = time.monotonic() - began_s
        self.drop_cache()
        began_s = time.monotonic()
        with path.open("rb") as file:
            while file.read(len(_ZEROES)):
                pass
        read_s = time.monotonic() - began_s
        path.unlink()
        return size_bytes / write_s, size_bytes / read_s


@contextmanager
def _loop(below: str) -> Iterator[str]:
    """A loop device on a file or another device."""
    command = ["losetup", "--find", "--show", "--direct-io=on", below]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        _run("losetup", "--detach", device)


_ZEROES = bytes(1 << 20)
_PLAIN = ("-E", "lazy_itable_init=0,lazy_journal_init=0")  # no initialisation is left for the measurement


@define
class DiskPair:
    """Source and destination of a measurement, on two disks.

    `home` is the agent's, on the disk of the source.

    `link_bytes_s`: rate of the link to `far` in each direction; None: no link.
    """

    near: Disk
    far: Disk
    link_bytes_s: int | None = None

    @classmethod
    @contextmanager
    def of(cls, size_bytes: int, link_bytes_s: int | None = None) -> Iterator[Self]:
        """Create both disks with room for `size_bytes` each, below `$TMPDIR`.

        Raises:
            CannotMeasure: there is not enough space.
        """
        require("mkfs.ext4", "losetup", "mount")
        size_bytes += PROBE_S * (link_bytes_s or 0)
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            wanted_bytes = 2 * (size_bytes + RESERVE_BYTES)
            if shutil.disk_usage(folder).free < wanted_bytes:
                raise CannotMeasure(f"{wanted_bytes >> 30} GiB free in {folder.parent} (TMPDIR)")
            with (
                Disk.at(folder, "near", size_bytes + RESERVE_BYTES) as near,
                Disk.at(folder, "far", size_bytes + RESERVE_BYTES, link_bytes_s) as far,
            ):
                yield cls(near, far, link_bytes_s)

    def link_note(self) -> str:
        """One sentence about the link, if there is one. Writes and reads a plain file to measure it."""
        if self.link_bytes_s is None:
            return ""
        written, read = (each / 1e6 for each in self.far.rates(PROBE_S * self.link_bytes_s))
        rate = f"{self.link_bytes_s / 1e6:.0f} MB/s each way"
        return (
            f"The link: {rate}; a plain file was written with {written:.0f} and read with {read:.0f} MB/s. "
        )

    @property
    def originals(self) -> Path:
        return self.near.path / "originals"

    @property
    def source(self) -> Path:
        return self.near.path / "source"

    @property
    def home(self) -> Path:
        return self.near.path / "home"

    @property
    def destination(self) -> Path:
        return self.far.path / "destination"

    def prepare(self) -> None:
        """Fill the source with links to the originals, empty the destination, drop both caches."""
        for folder in (self.source, self.home, self.destination):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for original in self.originals.iterdir():
            (self.source / original.name).hardlink_to(original)
        self.near.drop_cache()
        self.far.drop_cache()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
