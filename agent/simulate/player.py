"""Performs steps in a folder, at their time or as fast as possible. Blocking."""

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
class _OpenFile:
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
    """Calls `on_step` after each step. Never writes to an existing file.

    `paced`: each step waits for its time; else as fast as possible.
    """

    folder: str
    on_step: Callable[[WriteStep], None]
    paced: bool = True
    _open_files: dict[str, _OpenFile] = field(factory=dict, init=False)
    _expected: ExpectedState = field(factory=ExpectedState, init=False)

    def check_free(self, paths: Iterable[str]) -> None:
        """Check that no file has one of these names.

        Raises:
            FileExistsError: one exists.
        """
        for path in map(self._real, paths):
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def play(self, steps: Iterable[WriteStep]) -> None:
        """Perform all steps; open files are closed however this ends.

        Raises:
            FileExistsError: the name of a new file exists.
            OSError: the file system's error, with the path.
        """
        begin_s = time.monotonic()
        try:
            for step in steps:
                if self.paced:
                    time.sleep(max(0.0, begin_s + step.at_s - time.monotonic()))
                with with_path(self._real(step.to if isinstance(step, Rename) else step.path)):
                    self._apply(step)
                self._expected.apply(step)
                self.on_step(step)
        finally:
            for file in self._open_files.values():
                with suppress(OSError):
                    file.close()
            self._open_files.clear()

    def expected_contents(self) -> dict[str, Content]:
        """The expected content by path, computed from the steps: the files may have been moved since."""
        return self._expected.contents()

    def _apply(self, step: WriteStep) -> None:
        match step:
            case Create():
                os.makedirs(os.path.dirname(self._real(step.path)), exist_ok=True)
                self._open(step.path, os.O_CREAT | os.O_EXCL)
            case Open():
                self._open(step.path, 0)
            case Close():
                self._open_files.pop(step.path).close()
            case Rename():
                self._rename(step)
            case Remove():
                os.unlink(self._real(step.path))
            case Stamp():
                then_ns = time.time_ns() - round(step.age_s * 1e9)
                os.utime(self._open_files[step.path].fd, ns=(then_ns, then_ns))
            case _:
                self._change(step)

    def _change(self, step: WriteStep) -> None:
        file = self._open_files[step.path]
        match step:
            case Write():
                file.write(step)
            case Allocate():
                file.allocate(step)
            case Truncate():
                os.ftruncate(file.fd, step.length)
            case Sync():
                file.sync()

    def _open(self, path: str, extra_flags: int) -> None:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | extra_flags
        self._open_files[path] = _OpenFile(os.open(self._real(path), flags, 0o644))

    def _rename(self, step: Rename) -> None:
        if not step.replacing:
            self.check_free([step.to])
        os.rename(self._real(step.path), self._real(step.to))

    def _real(self, path: str) -> str:
        return os.path.join(self.folder, path)
