"""Carries steps out on a folder, at their time or as fast as it can. Blocking."""

import ctypes
import errno
import mmap
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from attrs import define, field

from agent.fs.syscalls import c_function, with_path
from agent.simulate.content import Content
from agent.simulate.expected_state import ExpectedState
from agent.simulate.steps import (
    Allocate,
    Close,
    Create,
    Open,
    Remove,
    Rename,
    Stamp,
    Sync,
    Truncate,
    Write,
    WriteStep,
)

_KEEP_SIZE = 1  # linux/falloc.h
_fallocate = c_function("fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


@define
class _Held:
    """A file that is open for writing."""

    fd: int
    mapping: mmap.mmap | None = None

    def write(self, step: Write) -> None:
        data = memoryview(step.content.read())
        if step.mapped:
            if self.mapping is None:
                self.mapping = mmap.mmap(self.fd, 0)
            self.mapping[step.offset : step.offset + len(data)] = data
            return
        at = step.offset
        while data:
            count = os.pwrite(self.fd, data, at)
            at, data = at + count, data[count:]

    def allocate(self, step: Allocate) -> None:
        if step.way == "truncate":
            os.ftruncate(self.fd, step.length)
        else:
            _fallocate(self.fd, _KEEP_SIZE if step.way == "keep-size" else 0, 0, step.length)

    def sync(self) -> None:
        if self.mapping is not None:
            self.mapping.flush()
        os.fsync(self.fd)

    def close(self) -> None:
        if self.mapping is not None:
            self.mapping.close()
        os.close(self.fd)


@define
class Player:
    """`tell` hears of each step once it is done. Existing files are never written to."""

    folder: str
    tell: Callable[[WriteStep], None]
    paced: bool = True
    _held: dict[str, _Held] = field(factory=dict, init=False)
    _replica: ExpectedState = field(factory=ExpectedState, init=False)

    def check_free(self, paths: Iterable[str]) -> None:
        """Whether files can be made under these names.

        Raises:
            FileExistsError: one is taken.
        """
        for path in map(self._real, paths):
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def play(self, steps: Iterable[WriteStep]) -> None:
        """To the end; what is open is closed however it ends.

        Raises:
            FileExistsError: a name is taken.
            OSError: what the file system says, with the path.
        """
        begin_s = time.monotonic()
        try:
            for step in steps:
                if self.paced:
                    time.sleep(max(0.0, begin_s + step.at_s - time.monotonic()))
                with with_path(self._real(step.to if isinstance(step, Rename) else step.path)):
                    self._do(step)
                self._replica.apply(step)
                self.tell(step)
        finally:
            for held in self._held.values():
                with suppress(OSError):
                    held.close()
            self._held.clear()

    def standing(self) -> dict[str, Content]:
        """What has been made so far, by path, as it was written; whatever became of it since."""
        return self._replica.contents()

    def _do(self, step: WriteStep) -> None:
        match step:
            case Create():
                os.makedirs(os.path.dirname(self._real(step.path)), exist_ok=True)
                self._open(step.path, os.O_CREAT | os.O_EXCL)
            case Open():
                self._open(step.path, 0)
            case Close():
                self._held.pop(step.path).close()
            case Rename():
                self._rename(step)
            case Remove():
                os.unlink(self._real(step.path))
            case Stamp():
                then_ns = time.time_ns() - round(step.age_s * 1e9)
                os.utime(self._held[step.path].fd, ns=(then_ns, then_ns))
            case _:
                self._change(step)

    def _change(self, step: WriteStep) -> None:
        held = self._held[step.path]
        match step:
            case Write():
                held.write(step)
            case Allocate():
                held.allocate(step)
            case Truncate():
                os.ftruncate(held.fd, step.length)
            case Sync():
                held.sync()

    def _open(self, path: str, how: int) -> None:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | how
        self._held[path] = _Held(os.open(self._real(path), flags, 0o644))

    def _rename(self, step: Rename) -> None:
        if not step.replacing:
            self.check_free([step.to])
        os.rename(self._real(step.path), self._real(step.to))

    def _real(self, path: str) -> str:
        return os.path.join(self.folder, path)
