"""Faults: expected failures, classified by how the agent reacts to them."""

import enum
import errno
import os
from typing import Self

from attrs import frozen

from agent.model.text import on_one_line


class OutageReason(enum.Enum):
    """Why a destination cannot be used."""

    UNMOUNTED = "unmounted"
    MARKER_MISSING = "marker_missing"
    UNREACHABLE = "unreachable"
    HUNG = "hung"
    FULL = "full"
    READ_ONLY = "read_only"
    DENIED = "denied"
    IO_ERROR = "io_error"


class FaultKind(enum.Enum):
    """The cause of a failure; it decides what pauses and whether the file's attempt counts."""

    SOURCE = "source"  # this file cannot be read or removed: the attempt counts
    SOURCE_GONE = "source_gone"  # the file is gone: the attempt counts, and the next scan drops the file
    SOURCE_CHANGED = "source_changed"  # changed meanwhile: the attempt counts; it has to become stable again
    CONFLICT = "conflict"  # the name is taken and `conflict` is "fail": no retry will help
    CORRUPT = "corrupt"  # the content arrived altered: the attempt counts
    REFUSED = "refused"  # the destination cannot hold this file (name, size): the attempt counts
    DESTINATION = "destination"  # an outage: the destination pauses, the attempt does not count
    SOURCE_OUTAGE = "source_outage"  # an outage of the source: its route pauses, the attempt does not count
    WORKER = "worker"  # a worker process exited or broke the protocol: the attempt counts
    DISPLACED = "displaced"  # something else has the partial's name: start over, the attempt does not count
    PARTIAL_GONE = "partial_gone"  # nothing has its name: start over; the attempt counts if that comes again
    BUSY = "busy"  # a killed worker still has the partial locked: wait, the attempt does not count
    JOURNAL = "journal"  # the journal cannot be written: wait, the attempt does not count
    SHORTAGE = "shortage"  # the machine is short of descriptors, memory ...: wait, the attempt does not count


OF_SOURCE_FILES = frozenset({FaultKind.SOURCE, FaultKind.SOURCE_GONE})  # unless the whole source has failed


class Side(enum.Enum):
    """The side of a copy on which a system call failed or blocks."""

    SOURCE = "source"
    DESTINATION = "destination"


@frozen
class Fault(Exception):  # noqa: N818  also sent as a value
    """An expected failure; it is raised, and also sent between processes and actors as a value.

    `reason` is set exactly when `kind` is DESTINATION. `detail` is one line for the operator.
    """

    kind: FaultKind
    detail: str
    reason: OutageReason | None = None

    @classmethod
    def outage(cls, reason: OutageReason, detail: str) -> Self:
        return cls(FaultKind.DESTINATION, detail, reason)

    def __str__(self) -> str:
        return self.detail


_OUTAGES = {
    errno.ENOSPC: OutageReason.FULL,
    errno.EDQUOT: OutageReason.FULL,
    errno.EROFS: OutageReason.READ_ONLY,
    errno.EACCES: OutageReason.DENIED,
    errno.EPERM: OutageReason.DENIED,
    errno.EIO: OutageReason.IO_ERROR,
    errno.ESTALE: OutageReason.UNREACHABLE,
    errno.ENOTCONN: OutageReason.UNREACHABLE,
    errno.EHOSTDOWN: OutageReason.UNREACHABLE,
    errno.EHOSTUNREACH: OutageReason.UNREACHABLE,
    errno.ENETUNREACH: OutageReason.UNREACHABLE,
    errno.ECONNREFUSED: OutageReason.UNREACHABLE,
    errno.ECONNRESET: OutageReason.UNREACHABLE,
    errno.ETIMEDOUT: OutageReason.HUNG,
    errno.ENOENT: OutageReason.UNMOUNTED,
    errno.ENODEV: OutageReason.UNMOUNTED,
    errno.ENXIO: OutageReason.UNMOUNTED,
}

_SOURCE_OUTAGES = {
    errno.ESTALE,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ETIMEDOUT,
    errno.ENODEV,
    errno.ENXIO,
}

_REFUSALS = {
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EFBIG,
    errno.EINVAL,
    errno.EILSEQ,
    errno.ENOTDIR,
    errno.EISDIR,
}


_SHORTAGES = {
    errno.EMFILE: "file descriptors (see `ulimit -n`, or LimitNOFILE of systemd)",
    errno.ENFILE: "file descriptors (of the whole system)",
    errno.ENOMEM: "memory",
    errno.ENOBUFS: "memory",
}
_NO_THREAD = "can't start new thread"  # what Python says, as a RuntimeError


def shortage(error: BaseException, *, forking: bool = False) -> Fault | None:
    """The fault if this machine lacks what every program needs; it is neither a file's nor a storage's.

    `forking`: the error came from the start of a process, where EAGAIN means that there are too many.
    """
    if isinstance(error, OSError):
        lacking = _SHORTAGES.get(error.errno or 0)
        if forking and error.errno == errno.EAGAIN:
            lacking = "processes and threads"
    elif isinstance(error, MemoryError):
        lacking = "memory"
    else:
        lacking = "processes and threads" if str(error) == _NO_THREAD else None
    return None if lacking is None else Fault(FaultKind.SHORTAGE, f"this machine is short of {lacking}")


def classify(error: OSError, side: Side) -> Fault:
    """Map an operating system error to a fault.

    ENOENT at the destination means that a folder we had just created or opened is gone: UNMOUNTED. An
    unknown error number counts as the outage IO_ERROR, not as a fault of the file, because a needless pause
    loses nothing.
    """
    lacking = shortage(error)
    if lacking is not None:
        return lacking
    detail = _describe(error, side)
    if side is Side.SOURCE:
        return Fault(_source_kind(error), detail)
    if error.errno in _REFUSALS:
        return Fault(FaultKind.REFUSED, detail)
    return Fault.outage(_OUTAGES.get(error.errno or 0, OutageReason.IO_ERROR), detail)


def _source_kind(error: OSError) -> FaultKind:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return FaultKind.SOURCE_GONE
    return FaultKind.SOURCE_OUTAGE if error.errno in _SOURCE_OUTAGES else FaultKind.SOURCE


def _describe(error: OSError, side: Side) -> str:
    message = error.strerror or str(error)
    name = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, (str, bytes)) else ""
    return on_one_line(f"{side.value}: {message}{name}")


def first_error(error: BaseException) -> BaseException:
    """Return the error itself, or the first one in nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
