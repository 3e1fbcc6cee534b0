"""What can go wrong, sorted by what to do about it: the kind carries the instruction."""

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
    """The instruction: whose fault it is decides who waits and whether an attempt is counted."""

    SOURCE = "source"  # the file's own fault: counts an attempt
    SOURCE_GONE = "source_gone"  # vanished: counts an attempt, and the next scan forgets it
    SOURCE_CHANGED = "source_changed"  # written to while we read: it has to become stable again
    CONFLICT = "conflict"  # the name is taken and the route says fail: no attempt will help
    CORRUPT = "corrupt"  # arrived altered: counts an attempt
    REFUSED = "refused"  # the destination cannot hold this one file (its name, its size): counts an attempt
    DESTINATION = "destination"  # an outage: the destination waits, no attempt is counted
    SOURCE_OUTAGE = "source_outage"  # nothing of the source can be read: its route waits, no attempt counted
    WORKER = "worker"  # a worker process died or broke the protocol: counts an attempt
    BUSY = "busy"  # a killed worker has not let go yet: wait, no attempt is counted
    JOURNAL = "journal"  # our own memory cannot be written: wait, no attempt is counted


class Side(enum.Enum):
    """On which side of a copy a system call failed."""

    SOURCE = "source"
    DESTINATION = "destination"


@frozen
class Fault(Exception):  # noqa: N818  a fault is a fact that may also be raised
    """An expected failure, raised in stores and sent across rooms as a value.

    `reason` is set exactly when `kind` is DESTINATION. `detail` is one line for people.
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


def classify(error: OSError, side: Side) -> Fault:
    """The fault an operating system error stands for.

    ENOENT on the destination means that a folder we had just made or opened is gone, hence `unmounted`;
    an error number without an entry counts as `io_error`, never as the file's own fault, because pausing
    is the mistake that loses nothing.
    """
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
    what = error.strerror or str(error)
    name = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, (str, bytes)) else ""
    return on_one_line(f"{side.value}: {what}{name}")


def first_error(error: BaseException) -> BaseException:
    """The error itself, or the first one in a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
