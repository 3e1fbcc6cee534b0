"""Mounts for tests that always clean up after themselves: `FaultMount` and `LoopMount`. They need root."""

import ctypes
import errno as errors
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from attrs import define, field

from tests.coverage_environment import without_coverage

PATIENCE_S = 20.0
OUR_FOLDER = Path(__file__).parents[2]
MS_RDONLY, MS_REMOUNT, MS_BIND, MNT_DETACH = 1, 32, 4096, 2  # sys/mount.h
_libc = ctypes.CDLL(None, use_errno=True)


def needed(*programs: str) -> None:
    """Root, /dev/fuse and these programs; in CI their absence is a failure, not a skip."""
    missing = [program for program in programs if shutil.which(program) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if not Path("/dev/fuse").exists():
        missing.append("/dev/fuse")
    if missing and not os.environ.get("CI"):
        pytest.skip(f"needs {', '.join(missing)}")
    assert not missing, f"missing in CI: {', '.join(missing)}"


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, f"not in {PATIENCE_S:g} s: {what}"
        time.sleep(0.01)


def is_mounted(path: Path) -> bool:
    """From the kernel's list: the mount itself, which may hang, is not touched."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split(" ")[4] == str(path) for line in lines)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def unmount(path: Path, *, lazily: bool = False) -> None:
    """Waits for the last user of a busy one to leave. Raises: OSError: it stays busy, or is not mounted."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            _call("umount2", os.fsencode(path), MNT_DETACH if lazily else 0)
        except OSError as error:
            if error.errno != errors.EBUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def bound(place: Path, onto: Path, *, read_only: bool = False) -> Iterator[None]:
    """Show this folder at a second place while the block runs."""
    needed("fusermount3")
    _call("mount", os.fsencode(place), os.fsencode(onto), None, ctypes.c_ulong(MS_BIND), None)
    try:
        if read_only:
            _remount(onto, MS_BIND | MS_RDONLY)
        yield
    finally:
        unmount(onto, lazily=True)


@contextmanager
def overlaid(lower: Path, upper: Path, onto: Path) -> Iterator[None]:
    """Show both folders as one while the block runs; what is written goes to `upper`."""
    needed("fusermount3")
    work = upper.with_name(upper.name + "-work")
    work.mkdir()
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    _call("mount", b"overlay", os.fsencode(onto), b"overlay", ctypes.c_ulong(0), options.encode())
    try:
        yield
    finally:
        unmount(onto, lazily=True)


@contextmanager
def in_memory(onto: Path) -> Iterator[None]:
    """A tmpfs while the block runs."""
    needed("fusermount3")
    _call("mount", b"tmpfs", os.fsencode(onto), b"tmpfs", ctypes.c_ulong(0), None)
    try:
        yield
    finally:
        unmount(onto, lazily=True)


def _remount(path: Path, flags: int) -> None:
    _call("mount", None, os.fsencode(path), None, ctypes.c_ulong(MS_REMOUNT | flags), None)


@contextmanager
def bind_mount(folder: Path, path: Path) -> Iterator[None]:
    """The folder shown at this path too, which is made; the block may unmount and mount it again."""
    needed()
    path.mkdir(exist_ok=True)
    bind(folder, path)
    try:
        yield
    finally:
        with suppress(OSError):
            unmount(path, lazily=True)


def bind(folder: Path, path: Path) -> None:
    _call("mount", os.fsencode(folder), os.fsencode(path), None, ctypes.c_ulong(MS_BIND), None)


@define(eq=False)
class FaultMount:
    """The file system of `tests.mounts.faultfs`, mounted at `path`, mirroring `backing`.

    `volatile`: nothing is mirrored; after a `cut` and `restore` it shows what was durable.
    `caches_attributes`: the client goes on showing what it has seen of a file.
    """

    path: Path
    backing: Path
    volatile: bool = False
    caches_attributes: bool = False
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _control: socket.socket | None = field(default=None, init=False)
    _folder: "tempfile.TemporaryDirectory[str] | None" = field(default=None, init=False)

    @classmethod
    @contextmanager
    def at(
        cls, path: Path, backing: Path, *, volatile: bool = False, caches_attributes: bool = False
    ) -> Iterator[Self]:
        """Mounted for this block; both folders are made."""
        needed("fusermount3")
        path.mkdir(exist_ok=True)
        backing.mkdir(exist_ok=True)
        mount = cls(path, backing, volatile, caches_attributes)
        try:
            mount.mount()
            yield mount
        finally:
            mount.end()

    def mount(self, *, restore: bool = False) -> None:
        """Mount, and wait until it is."""
        options = ["--restore" if restore else "--volatile"] if self.volatile else []
        options += ["--cache-attributes"] if self.caches_attributes else []
        self._folder = tempfile.TemporaryDirectory(prefix="faultfs-")  # a socket's path must be short
        words = ["tests.mounts.faultfs", str(self.path), str(self.backing), self.address, *options]
        environment = without_coverage()
        environment["FUSE_LIBRARY_NAME"] = "fuse3"  # also where FUSE 2 is installed beside it
        self._server = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=OUR_FOLDER, env=environment, start_new_session=True
        )
        wait_until(self._is_up, f"{self.path} is mounted")
        self._control = socket.socket(socket.AF_UNIX)
        self._control.connect(self.address)

    @property
    def address(self) -> str:
        """The socket for others who want to speak to the mount."""
        assert self._folder is not None, "not mounted"
        return f"{self._folder.name}/control"

    def unmount(self) -> None:
        """Orderly; what hangs is released. A volatile mount that was not cut forgets nothing."""
        self.clear()
        unmount(self.path)
        assert self._server is not None
        assert self._server.wait(PATIENCE_S) == 0
        self._leave()

    def vanish(self) -> None:
        """Kill the server: the mount stays and answers ENOTCONN."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()
        self._leave()

    def remount(self) -> None:
        """After `vanish` or `unmount`: there again."""
        self._detach()
        self.mount()

    def restore(self) -> None:
        """After a cut: the power is back, and what was durable is there."""
        self.unmount()
        self.mount(restore=True)

    def end(self) -> None:
        """Whatever state it is in: neither mount nor server stays behind."""
        if self._server is not None:
            self.vanish()  # this answers whatever hangs
        self._detach()

    def error(
        self, *operations: str, errno: int, glob: str = "*", skipped: int = 0, times: int | None = None
    ) -> None:
        """These operations on paths ("/a/b") that match fail, after the first `skipped`, `times` times."""
        self._tell("error", operations=operations, number=errno, glob=glob, skipped=skipped, times=times)

    def hang(self, *operations: str, glob: str = "*") -> None:
        """These operations, without any: all, on paths ("/a/b") that match, wait until `release`."""
        self._tell("hang", operations=operations or None, glob=glob)

    def latency(self, latency_s: float) -> None:
        """Every operation takes so long, as over a long line."""
        self._tell("latency", latency_s=latency_s)

    def release(self) -> None:
        self._tell("release")

    def flip(self, glob: str, offset: int, times: int | None = 1) -> None:
        """One bit at this offset of matching files (paths relative to the mount) is stored wrong."""
        self._tell("flip", glob=glob, offset=offset, times=times)

    def short(self, limit_bytes: int, times: int | None = None) -> None:
        """Writes of more than that are accepted in part."""
        self._tell("short", limit_bytes=limit_bytes, times=times)

    def full(self, budget_bytes: int | None, *, is_quota: bool = False) -> None:
        """Only so many bytes more fit; None: as many as the backing folder takes.

        `is_quota`: statvfs does not show it.
        """
        self._tell("full", budget_bytes=budget_bytes, is_quota=is_quota)

    def name_max(self, name_max_bytes: int | None) -> None:
        """Names may have so many bytes, as on an encrypted share."""
        self._tell("name_max", name_max_bytes=name_max_bytes)

    def read_only(self, on: bool = True) -> None:
        self._tell("read_only", on=on)
        _remount(self.path, MS_BIND | (MS_RDONLY if on else 0))

    def slow(self, bytes_s: float | None, *, at_sync: bool = False) -> None:
        """Reads and writes share so many bytes a second; None: as fast as it goes.

        `at_sync`: what is written is accepted at once, and a sync takes the time, as on a NAS with a cache.
        """
        self._tell("slow", bytes_s=bytes_s, at_sync=at_sync)

    def cut_after(self, mutations: int) -> None:
        """So many operations more reach the storage, then the power is cut: they fail with EIO."""
        self._tell("cut_after", mutations=mutations)

    def cut(self) -> None:
        self.cut_after(0)

    def sync(self) -> None:
        """What a volatile mount shows now is durable."""
        self._tell("sync")

    def lose(self) -> None:
        """As `cut` and `restore`, without unmounting. Nobody may have a file open."""
        self._tell("lose")

    def keep(self, label: str) -> None:
        """What a volatile mount shows now is durable, and can be had again by `show`."""
        self._tell("keep", label=label)

    def show(self, label: str) -> None:
        """What was kept, in place of all that there is; the power is on. Nobody may have a file open."""
        self._tell("show", label=label)

    def clear(self) -> None:
        """No more faults, except a cut."""
        self._tell("clear")

    @property
    def mutations(self) -> int:
        """How many operations have changed the storage, or what of it is durable."""
        return int(self._tell("state")["mutations"])

    @property
    def waiting(self) -> int:
        """How many operations hang now."""
        return int(self._tell("state")["waiting"])

    @property
    def is_cut(self) -> bool:
        return bool(self._tell("state")["is_cut"])

    def _is_up(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, f"the file system has ended: {self._server.returncode}"
        return is_mounted(self.path)

    def _tell(self, name: str, **words: object) -> dict[str, Any]:
        assert self._control is not None, "not mounted"
        self._control.sendall(json.dumps({"do": name, **words}).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            data = self._control.recv(65536)
            assert data, "the file system has ended"
            line += data
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer

    def _leave(self) -> None:
        self._server = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        if self._control is not None:
            self._control.close()
            self._control = None

    def _detach(self) -> None:
        while is_mounted(self.path):
            unmount(self.path, lazily=True)


@define(eq=False)
class LoopMount:
    """A real ext4 in an image file."""

    path: Path
    image: Path

    @classmethod
    @contextmanager
    def at(cls, path: Path, image: Path, size_mib: int) -> Iterator[Self]:
        """Made and mounted for this block."""
        needed("mkfs.ext4", "mount", "losetup")
        path.mkdir(exist_ok=True)
        with image.open("wb") as file:
            file.truncate(size_mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
        mount = cls(path, image)
        try:
            mount.mount()
            yield mount
        finally:
            with suppress(OSError):
                unmount(path, lazily=True)
            image.unlink()

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self.path)], check=True)

    def remount(self, *, read_only: bool) -> None:
        _remount(self.path, MS_RDONLY if read_only else 0)

    def unmount(self) -> None:
        unmount(self.path)
