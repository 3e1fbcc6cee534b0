"""Two file systems of their own, so that a copy crosses from one to the other and a cache can be dropped."""

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

from bench.link import Line, in_pieces, throttled
from bench.needs import CannotMeasure, needed
from tests.mounts.mounts import unmount

INODE_BYTES = 4096  # of space to each inode: enough of them for small files
RESERVE_BYTES = 512 << 20  # for the file system's own tables, a journal of ours, a log
PROBE_S = 2  # of a line, to see what it gives


@define(eq=False)
class Disk:
    """An ext4 in an image file, past the cache of whatever the image lies on (direct I/O)."""

    path: Path
    image: Path
    _device: str = field(default="", init=False)
    _line: Line | None = field(default=None, init=False)

    @classmethod
    @contextmanager
    def at(cls, folder: Path, name: str, size_bytes: int, line_bytes_s: int | None = None) -> Iterator[Self]:
        """Made, mounted and, at the end, removed. The image is allocated, not sparse.

        `line_bytes_s`: of the line in front of it, each way; None: as fast as it goes.
        """
        disk = cls(folder / name, folder / f"{name}.image")
        disk.path.mkdir()
        with ExitStack() as undo:
            undo.callback(disk.image.unlink, missing_ok=True)
            with disk.image.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            _run("mkfs.ext4", "-q", "-F", "-m", "0", "-i", str(INODE_BYTES), *_PLAIN, str(disk.image))
            disk._device = undo.enter_context(_loop(str(disk.image)))
            if line_bytes_s is not None:
                disk._line = undo.enter_context(throttled(disk._device, line_bytes_s))
                disk._device = undo.enter_context(_loop(disk._device))
                in_pieces(disk._device)
            disk.mount()
            undo.callback(disk._detach)
            yield disk

    def mount(self) -> None:
        _run("mount", self._device, str(self.path))

    def forget(self) -> None:
        """Everything is on the device, and nothing of it in a cache."""
        unmount(self.path)
        self.mount()

    @contextmanager
    def without_line(self) -> Iterator[None]:
        """As fast as it goes, for what is not measured."""
        if self._line is not None:
            self._line.lift()
        yield
        if self._line is not None:
            self._line.limit()

    def _detach(self) -> None:
        with suppress(OSError):
            unmount(self.path, lazily=True)  # whoever is left in it, nothing stays behind

    def rates(self, size_bytes: int) -> tuple[float, float]:
        """Bytes a second of one plain file, written with a sync and read again cold."""
        path, began_s = self.path / "rate", time.monotonic()
        with path.open("wb") as file:
            for _ in range(size_bytes // len(_ZEROES)):
                file.write(_ZEROES)
            os.fsync(file.fileno())
        write_s = time.monotonic() - began_s
        self.forget()
        began_s = time.monotonic()
        with path.open("rb") as file:
            while file.read(len(_ZEROES)):
                pass
        read_s = time.monotonic() - began_s
        path.unlink()
        return size_bytes / write_s, size_bytes / read_s


@contextmanager
def _loop(below: str) -> Iterator[str]:
    """A loop device upon a file or another device."""
    command = ["losetup", "--find", "--show", "--direct-io=on", below]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        _run("losetup", "--detach", device)


_ZEROES = bytes(1 << 20)
_PLAIN = ("-E", "lazy_itable_init=0,lazy_journal_init=0")  # nothing is left to be done during a measurement


@define
class Ground:
    """Where everything is carried from and to. `home`: the agent's, on the disk of the source.

    `line_bytes_s`: between here and `far`, each way; None: no line.
    """

    near: Disk
    far: Disk
    line_bytes_s: int | None = None

    @classmethod
    @contextmanager
    def of(cls, size_bytes: int, line_bytes_s: int | None = None) -> Iterator[Self]:
        """Room for so much on either side, below `$TMPDIR`. Raises: CannotMeasure: there is none."""
        needed("mkfs.ext4", "losetup", "mount")
        size_bytes += PROBE_S * (line_bytes_s or 0)
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            wanted_bytes = 2 * (size_bytes + RESERVE_BYTES)
            if shutil.disk_usage(folder).free < wanted_bytes:
                raise CannotMeasure(f"{wanted_bytes >> 30} GiB free in {folder.parent} (TMPDIR)")
            with (
                Disk.at(folder, "near", size_bytes + RESERVE_BYTES) as near,
                Disk.at(folder, "far", size_bytes + RESERVE_BYTES, line_bytes_s) as far,
            ):
                ground = cls(near, far, line_bytes_s)
                yield ground

    def terms(self) -> str:
        """One sentence about the line, if there is one; a plain file is written and read for it."""
        if self.line_bytes_s is None:
            return ""
        written, read = (rate / 1e6 for rate in self.far.rates(PROBE_S * self.line_bytes_s))
        line = f"{self.line_bytes_s / 1e6:.0f} MB/s each way"
        return (
            f"The line: {line}; a plain file was written with {written:.0f} and read with {read:.0f} MB/s. "
        )

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
