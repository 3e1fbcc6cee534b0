"""Detect open writers of a file on Linux: by a read lease, or by /proc where leases are refused."""

import errno
import fcntl
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

assert sys.platform != "darwin"  # noqa: S101  type checkers stop here on other systems

from agent.fs import capabilities  # noqa: E402
from agent.fs.linux import is_network  # noqa: E402
from agent.model.source_file import WriterState  # noqa: E402


def prepare_process() -> None:
    """Make leases usable: call once in the main thread, before there are others.

    SIGIO, which a lease break sends and which kills by default, is ignored. CAP_LEASE, which the lease of
    another user's file takes, is used where the program file grants it.
    """
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    capabilities.use(capabilities.CAP_LEASE)


def open_writer(fd: int) -> WriterState:
    """Return whether a process has this file open for writing; `fd` must be open for reading only.

    `read_lease` describes the method.

    Raises:
        OSError: the descriptor is not a regular file's.
    """
    [writer] = open_writers([fd])
    return writer


def open_writers(fds: Sequence[int]) -> tuple[WriterState, ...]:
    """As `open_writer` of each, with one search of /proc; all of them are on one file system.

    Raises:
        OSError: a descriptor is not a regular file's.
    """
    on_network = bool(fds) and is_network(fds[0])
    states = {fd: WriterState.UNKNOWN if on_network else _writer_by_lease(fd) for fd in fds}
    targets = {
        fd: target
        for fd, state in states.items()
        if state not in (WriterState.NONE, WriterState.OPEN)
        and (target := _link_target(f"/proc/self/fd/{fd}")) is not None
    }
    written = _written_in_proc(frozenset(targets.values()))
    return tuple(WriterState.OPEN if targets.get(fd) in written else state for fd, state in states.items())


def _writer_by_lease(fd: int) -> WriterState:
    refusal = _take_lease(fd)
    if refusal is not None:
        return refusal
    _give_lease_back(fd)
    return WriterState.NONE


def _give_lease_back(fd: int) -> None:
    with suppress(BlockingIOError):  # the kernel has broken the lease
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


@contextmanager
def read_lease(fd: int) -> Iterator[WriterState]:
    """Yield the writer state; while it is NONE, an open for writing blocks until this block ends.

    A read lease (F_SETLEASE, fcntl(2)) is taken: EAGAIN means that a process has the file open for writing.
    The kernel breaks the lease after /proc/sys/fs/lease-break-time (45 s), so the block must be short.
    Meanwhile an open with O_NONBLOCK fails.

    Network file systems are not asked for leases, because these do not cover other machines. NFS 4 and SMB
    also return EAGAIN without a writer whenever the server granted no delegation or oplock. There, and where
    the lease is refused, /proc is searched for a writing descriptor. That none is found proves nothing:
    descriptors of other users and containers are hidden, those of the kernel's own servers not listed.
    So the state then is UNKNOWN on a network, NOT_PERMITTED where the file is not ours and CAP_LEASE is
    missing (EACCES), and NOT_SUPPORTED where the file system grants no leases (EINVAL).

    Raises:
        OSError: the descriptor is not a regular file's.
    """
    refusal = WriterState.UNKNOWN if is_network(fd) else _take_lease(fd)
    if refusal is WriterState.OPEN:
        yield refusal
    elif refusal is not None:
        yield WriterState.OPEN if _is_writer_in_proc(fd) else refusal
    else:
        try:
            yield WriterState.NONE
        finally:
            _give_lease_back(fd)


_REFUSALS = {
    errno.EAGAIN: WriterState.OPEN,
    errno.EACCES: WriterState.NOT_PERMITTED,
    errno.EPERM: WriterState.NOT_PERMITTED,
}


def is_lease_broken(fd: int) -> bool:
    """Return whether a process waits to open this file for writing, or got it open, in spite of our lease.

    Raises:
        OSError: the descriptor is not a regular file's.
    """
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK


def _take_lease(fd: int) -> WriterState | None:
    """Return None once the lease is held, else what its refusal says about writers."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return _REFUSALS.get(error.errno or 0, WriterState.NOT_SUPPORTED)
    return None


def _is_writer_in_proc(fd: int) -> bool:
    own_target = _link_target(f"/proc/self/fd/{fd}")
    return own_target is not None and bool(_written_in_proc(frozenset({own_target})))


def _written_in_proc(targets: frozenset[str]) -> frozenset[str]:
    """Those of the targets that a process which we may look into has open for writing."""
    if not targets:
        return frozenset()
    return frozenset(
        target
        for pid in os.listdir("/proc")
        if pid.isdecimal()
        for number in _descriptors(pid)
        if (target := _link_target(f"/proc/{pid}/fd/{number}")) in targets and _is_for_writing(pid, number)
    )


def _descriptors(pid: str) -> list[str]:
    with suppress(OSError):  # the process has exited, or belongs to another user
        return os.listdir(f"/proc/{pid}/fd")
    return []


def _link_target(descriptor: str) -> str | None:
    with suppress(OSError):
        return os.readlink(descriptor)  # stat would hang with a hung mount
    return None


def _is_for_writing(pid: str, number: str) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as info:
        flags = re.search(r"^flags:\s*([0-7]+)$", info.read(), re.MULTILINE)
        return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False
