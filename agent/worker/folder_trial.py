"""Tries what a folder can do, with a temporary file and folder of our own: `check-config --probe`."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from attrs import define, field

from agent.fs import platform, safe_open
from agent.fs.file_identity import FileIdentity, IdentityMismatch
from agent.fs.publisher import Publisher
from agent.fs.syscalls import closing_fd, closing_written_fd, has_right
from agent.model.source_file import WriterState
from agent.model.text import size_text
from agent.protocol.replies import FolderTried
from agent.protocol.requests import TryArchive, TryFolder
from agent.worker.source.archive import is_one_file_system
from agent.worker.source.source_folder import open_root

SOME_TIME_NS = 1_500_000_000_123_456_700  # as precise as NTFS and SMB keep times
_WRITERS = {
    WriterState.OPEN: "yes, open writers are seen",
    WriterState.NONE: "no, an open writer was not seen",
}
# Each is part of a name that a camera or a user may give; some file systems refuse it or keep another one.
_SPECIAL_PARTS = {
    "a line break": "\n",
    "bytes that are no UTF-8": "\udcff",
    'any of :?*"<>|': ':?*"<>|',
    "an accent as a character of its own": "e\u0301",
}
_RIGHTS = {"read": os.R_OK, "write": os.W_OK, "enter": os.X_OK}
_TOO_LONG = (errno.ENAMETOOLONG, errno.EINVAL, errno.ENOENT)  # ENOENT: of SMB servers
_ENCRYPTED_NAME_MAX_BYTES = 143  # of eCryptfs and shares on it, whatever they say


def try_folder(request: TryFolder) -> FolderTried:
    """Try one thing after the other; what the file system refuses is a finding, no error.

    Raises:
        Fault: SOURCE_OUTAGE: the folder cannot be opened.
    """
    with closing_fd(open_root(request.root)) as folder:
        return FolderTried(tuple(_tried(folder, request.name)))


def try_archive(request: TryArchive) -> FolderTried:
    """Try an archive, or where it is missing the folder in which it would be made; nothing is made.

    Raises:
        Fault: SOURCE_OUTAGE: the archive or the source cannot be opened.
    """
    findings, root = [], request.root
    while not os.path.lexists(root):
        root = os.path.dirname(root)
    if root != request.root:
        findings.append(("folder", f"is missing; it is made below {root} when it is needed"))
    with closing_fd(open_root(root)) as folder, closing_fd(open_root(request.source)) as source:
        move = "yes, files are renamed"
        if not is_one_file_system(source, folder):
            move = "no, another file system: files are copied, verified, and then removed from the source"
        findings.append(("move from the source", move))
        return FolderTried((*findings, *_tried(folder, request.name)))


def _tried(folder: int, name: str) -> list[tuple[str, str]]:
    stem = name.removesuffix(".partial")
    trial = _Trial(folder, name, f"{stem}2.partial", f"{stem}3.partial")
    try:
        trial.run()
    finally:
        trial.clean_up()
    return trial.findings


@define
class _Trial:
    """`findings`: what was tried, and what came of it."""

    _folder: int
    _name: str
    _second_name: str
    _folder_name: str
    findings: list[tuple[str, str]] = field(factory=list, init=False)

    def run(self) -> None:
        self._try("rights", self._rights)
        self._try("free space", self._free_space)
        if self._try("write", self._write):
            self._try("times", self._times)
            self._try("open writers", self._open_writers)
            self._try("publish without replacing", self._publish)
            self._try_names()
            self._try("delete", self._delete)

    def clean_up(self) -> None:
        """What a step that failed has left."""
        for name in (self._name, self._second_name):
            with suppress(OSError):
                os.unlink(name, dir_fd=self._folder)
        with suppress(OSError):
            os.rmdir(self._folder_name, dir_fd=self._folder)

    def _try_names(self) -> None:
        """In a folder of their own, because the listing of this one may be long."""
        os.mkdir(self._folder_name, dir_fd=self._folder)
        with closing_fd(safe_open.open_folder(self._folder, self._folder_name, create=False)) as inside:
            for what, step in (
                ("long names", _long_names),
                ("special names", _special_names),
                ("upper and lower case", _letter_case),
            ):
                self._try(what, partial(step, inside))
            for name in os.listdir(inside):
                os.unlink(name, dir_fd=inside)
        os.rmdir(self._folder_name, dir_fd=self._folder)

    def _try(self, what: str, step: Callable[[], str]) -> bool:
        try:
            self.findings.append((what, step()))
        except OSError as error:
            self.findings.append((what, f"no: {error.strerror or error}"))
            return False
        return True

    def _rights(self) -> str:
        missing = [what for what, right in _RIGHTS.items() if not has_right(self._folder, right)]
        user = f"as uid {os.geteuid()}"
        if missing:
            return f"no right to {' and '.join(missing)}, {user}"
        return f"read, write and enter, {user}"

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

    def _delete(self) -> str:
        os.unlink(self._name, dir_fd=self._folder)
        return "yes"


def _make(folder: int, name: str) -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, dir_fd=folder))


def _long_names(folder: int) -> str:
    longest_bytes = platform.name_max_bytes(folder)
    try:
        _make(folder, "x" * longest_bytes)
    except OSError as error:
        if error.errno not in _TOO_LONG or longest_bytes <= _ENCRYPTED_NAME_MAX_BYTES:
            raise
        longest_bytes = _ENCRYPTED_NAME_MAX_BYTES
        _make(folder, "x" * longest_bytes)
    return f"up to {longest_bytes} bytes"


def _special_names(folder: int) -> str:
    lost = []
    for what, part in _SPECIAL_PARTS.items():
        name = f"a{part}b"
        try:
            _make(folder, name)
        except OSError:
            lost.append(what)
            continue
        if name not in os.listdir(folder):
            lost.append(what)
    return "all are kept" if not lost else f"no: refused or changed are names with {', '.join(lost)}"


def _letter_case(folder: int) -> str:
    _make(folder, "case")
    try:
        _make(folder, "CASE")
    except FileExistsError:
        return "are one name"
    return "are two names"
