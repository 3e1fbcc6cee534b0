"""Tries what a folder can do, with a temporary file of our own: `check-config --probe`."""

import os
from collections.abc import Callable
from contextlib import suppress

from attrs import define, field

from agent.fs import platform
from agent.fs.file_identity import FileIdentity, IdentityMismatch
from agent.fs.publisher import Publisher
from agent.fs.syscalls import closing_fd, closing_written_fd
from agent.model.source_file import WriterState
from agent.model.text import size_text
from agent.protocol.replies import FolderTried
from agent.protocol.requests import TryFolder
from agent.worker.source.source_folder import open_root

SOME_TIME_NS = 1_500_000_000_123_456_700  # as precise as NTFS and SMB keep times
_WRITERS = {
    WriterState.OPEN: "yes, open writers are seen",
    WriterState.NONE: "no, an open writer was not seen",
}


def try_folder(request: TryFolder) -> FolderTried:
    """Try one thing after the other; what the file system refuses is a finding, no error.

    Raises:
        Fault: SOURCE_OUTAGE: the folder cannot be opened.
    """
    with closing_fd(open_root(request.root)) as folder:
        trial = _Trial(folder, request.name, f"{request.name.removesuffix('.partial')}2.partial")
        try:
            trial.run()
        finally:
            trial.clean_up()
    return FolderTried(tuple(trial.findings))


@define
class _Trial:
    """`findings`: what was tried, and what came of it."""

    _folder: int
    _name: str
    _second_name: str
    findings: list[tuple[str, str]] = field(factory=list, init=False)

    def run(self) -> None:
        self._try("free space", self._free_space)
        if self._try("write", self._write):
            self._try("times", self._times)
            self._try("open writers", self._open_writers)
            self._try("publish without replacing", self._publish)
            self._try("long names", self._long_name)
            self._try("delete", self._delete)

    def clean_up(self) -> None:
        """What a step that failed has left."""
        for name in (self._name, self._second_name):
            with suppress(OSError):
                os.unlink(name, dir_fd=self._folder)

    def _try(self, what: str, step: Callable[[], str]) -> bool:
        try:
            self.findings.append((what, step()))
        except OSError as error:
            self.findings.append((what, f"no: {error.strerror or error}"))
            return False
        return True

    def _free_space(self) -> str:
        free_bytes, total_bytes = platform.free_bytes(self._folder)
        return f"{size_text(free_bytes)} of {size_text(total_bytes)}"

    def _write(self) -> str:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with closing_written_fd(os.open(self._name, flags, dir_fd=self._folder)) as descriptor:
            os.write(descriptor, b"probe")
            os.fsync(descriptor)
        platform.sync_folder(self._folder)
        return "yes, and it is synced"

    def _times(self) -> str:
        os.utime(self._name, ns=(SOME_TIME_NS, SOME_TIME_NS), dir_fd=self._folder)
        kept_ns = os.stat(self._name, dir_fd=self._folder).st_mtime_ns
        off_s = abs(kept_ns - SOME_TIME_NS) / 1e9
        return "yes" if off_s == 0 else f"yes, {off_s:.9f} s off"

    def _open_writers(self) -> str:
        writing = os.open(self._name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._folder)
        reading = os.open(self._name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        with closing_fd(writing), closing_fd(reading):
            state = platform.open_writer(reading)
        return _WRITERS.get(state, "no: this file system or this user cannot see them; `stable` has to do")

    def _publish(self) -> str:
        with closing_fd(os.open(self._name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)) as descriptor:
            identity = FileIdentity.of(os.fstat(descriptor))
        try:
            strategy = Publisher().publish(self._name, self._second_name, self._folder, identity).strategy
        except IdentityMismatch:
            return "no: this file system renumbers its files"
        self._name = self._second_name
        if strategy == "placeholder":
            return "no: neither an exclusive rename nor hard links; a moment remains (docs/limits.md)"
        return f"yes, by {strategy}"

    def _long_name(self) -> str:
        longest = os.fstatvfs(self._folder).f_namemax
        return f"up to {longest} bytes"

    def _delete(self) -> str:
        os.unlink(self._name, dir_fd=self._folder)
        return "yes"
