"""Who writes to a file, on Linux: leases, and where they are refused /proc."""

import errno
import fcntl
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

assert sys.platform != "darwin"  # noqa: S101  tells type checkers to stop here on other systems

from agent.fs.linux import is_network  # noqa: E402
from agent.model.source_file import WriterState  # noqa: E402


def prepare_process() -> None:
    """Call once in the main thread before any lease: the signal of a lease's break kills by default."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def open_writer(fd: int) -> WriterState:
    """Does anybody hold this file open for writing? `fd` must be open for reading only.

    See `read_lease` for how it is found out.
    """
    with read_lease(fd) as writer:
        return writer


@contextmanager
def read_lease(fd: int) -> Iterator[WriterState]:
    """Like `open_writer`; while the answer is NONE, an open for writing waits until the block is left.

    By a read lease (F_SETLEASE in fcntl(2)): EAGAIN means that somebody writes. The kernel breaks a lease
    after /proc/sys/fs/lease-break-time (45 s), so be brief. A writer with O_NONBLOCK is refused meanwhile.
    On network file systems leases are not asked: they know nothing of other machines, and NFS 4 and SMB
    answer EAGAIN whenever the server has handed out no delegation or oplock, writer or not.
    There, and where the lease is refused (not our file, no CAP_LEASE), only a descriptor found in /proc
    proves a writer; finding none proves nothing, because other users and containers cannot be seen.

    Raises:
        OSError: the descriptor is not a file's.
    """
    refused = errno.EINVAL if is_network(fd) else _take_lease(fd)
    if refused == errno.EAGAIN:
        yield WriterState.OPEN
    elif refused:
        yield _writer_in_proc(fd)
    else:
        try:
            yield WriterState.NONE
        finally:
            with suppress(BlockingIOError):  # the kernel took the lease away
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _take_lease(fd: int) -> int | None:
    """None when we have it, else why not (errno)."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno
    return None


def _writer_in_proc(fd: int) -> WriterState:
    wanted = _link(Path(f"/proc/self/fd/{fd}"))
    found = any(
        _link(descriptor) == wanted and _is_for_writing(descriptor)
        for process in Path("/proc").iterdir()
        if process.name.isdecimal()
        for descriptor in _descriptors(process)
    )
    return WriterState.OPEN if found else WriterState.UNKNOWN


def _descriptors(process: Path) -> list[Path]:
    with suppress(OSError):  # gone meanwhile, or not ours to look into
        return list((process / "fd").iterdir())
    return []


def _link(descriptor: Path) -> Path | None:
    with suppress(OSError):
        return descriptor.readlink()  # never stat: it would hang with the mount
    return None


def _is_for_writing(descriptor: Path) -> bool:
    with suppress(OSError):
        info = (descriptor.parents[1] / "fdinfo" / descriptor.name).read_text()
        flags = re.search(r"^flags:\s*([0-7]+)$", info, re.MULTILINE)
        return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False
